//! The random names of invoices, payments and requests.

use offst_crypto::{RandomExt, byte_string};

byte_string!(
    /// Names an invoice. Chosen by the seller's node.
    InvoiceId,
    16
);
byte_string!(
    /// Names a payment. Chosen by the one who orders it; paying twice under one id pays once.
    PaymentId,
    16
);
byte_string!(
    /// Names one part of a payment in flight. Fresh for every request, also on a retry.
    RequestId,
    16
);

macro_rules! fresh {
    ($($name:ident),*) => {$(
        impl $name {
            /// A fresh random name.
            pub fn random(random: &mut dyn offst_crypto::Random) -> Self {
                $name::from_bytes(random.array())
            }
        }
    )*};
}
fresh!(InvoiceId, PaymentId, RequestId);
