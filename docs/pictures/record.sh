#!/usr/bin/env bash
# Records the session of the README: runs the real programs in a temporary folder and prints the session as an SVG.
#
#     cargo build --release
#     PATH="$PWD/target/release:$PATH" docs/pictures/record.sh > docs/pictures/session.svg
#
# Needs bash, awk, GNU sed and the four programs on the PATH. Six ports of loopback may be given. The output is the same in every
# run: long random texts are cut, and what takes a moment is awaited. A test (tests/tutorial.rs) records it again.
set -euo pipefail

ports=("${@:-}")
[ "$#" -eq 6 ] || ports=(9610 9611 9612 9511 9512 9513)
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2> /dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"

# ---- before the session: a relay, an index server, three nodes, two friendships
{
    strelay init --dir relay0 --address "127.0.0.1:${ports[0]}"
    stindex init --dir index0 --address "127.0.0.1:${ports[1]}" --federation-address "127.0.0.1:${ports[2]}"
    number=3
    for name in alice bob carol; do
        stnode init --dir $name --app $name-app --address "127.0.0.1:${ports[number]}" \
            --relay relay0/relay0.ticket --index index0/index0.client.ticket
        number=$((number + 1))
    done
} > init.log
strelay run --dir relay0 > relay0.out 2> relay0.log &
stindex run --dir index0 > index0.out 2> index0.log &
for name in alice bob carol; do stnode run --dir $name > $name.out 2> $name.log & done
for server in relay0 index0 alice bob carol; do until grep -qs ready $server.out; do sleep 0.1; done; done

as() {
    local name=$1
    shift
    STCTRL_IDFILE=$name-app/$name-app.ident STCTRL_TICKET=$name/$name.ticket "$@"
}

befriend() {
    as "$2" stctrl info export-ticket -o "$2.friend" --force
    as "$1" stctrl config add-friend -n "$2" -f "$2.friend" --balance 0 --max-debt 100 --open
}

{ befriend alice bob; befriend bob alice; befriend bob carol; befriend carol bob; } > friends.log
as carol stctrl seller create-invoice -a 60 -o probe.invoice > probe.text
until as alice stctrl funds quote -i probe.invoice > quote.text 2>&1; do sleep 0.2; done

# ---- the session
session=$folder/session.text

# A comment.
say() { printf '# %s\n' "$*" >> "$session"; }

# A command of a person, shown as it would be typed, and what it prints. Long words are cut.
run() {
    local name=$1
    shift
    printf '%s$ %s\n' "$name" "$*" >> "$session"
    as "$name" "$@" 2>&1 | sed -E 's/([a-z0-9]{24})[a-z0-9]{24,}/\1.../gI' >> "$session"
}

say "Alice and Carol do not know each other. Both are friends of Bob."
run carol stctrl seller create-invoice -a 60 --description bread -o bread.invoice
# The beginning of an invoice is random, too.
sed -i -E 's/^(offst1)[a-z0-9]+\.\.\./\1.../I' "$session"
run alice stctrl funds pay-invoice -i bread.invoice -r bread.receipt
say "The receipt proves it to anybody, without a node:"
run alice stctrl verify receipt -i bread.invoice -r bread.receipt
say "Alice owes Bob 61, Bob owes Carol 60: Bob has earned 1."
# The last word of a payment is said a moment after the buyer has the receipt.
until as bob stctrl info friends --json | grep -q '"balance":"-60"' &&
    ! as bob stctrl info friends --json | grep -qE '"(local|remote)_pending_debt":"[1-9]'; do sleep 0.1; done
run bob stctrl info friends

# ---- the picture
awk '
    function escaped(text) { gsub(/&/, "\\&amp;", text); gsub(/</, "\\&lt;", text); gsub(/>/, "\\&gt;", text); return text }
    { lines[NR] = $0 }
    END {
        width = 760; step = 20; top = 54
        height = top + NR * step + 4
        printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"13\" role=\"img\" aria-labelledby=\"title\">\n", width, height
        print "  <title id=\"title\">A recorded session: Carol asks for 60 credits, Alice pays through Bob</title>"
        printf "  <rect width=\"%d\" height=\"%d\" rx=\"10\" fill=\"#1b1f24\"/>\n", width, height
        print "  <circle cx=\"22\" cy=\"20\" r=\"6\" fill=\"#ff5f57\"/><circle cx=\"42\" cy=\"20\" r=\"6\" fill=\"#febc2e\"/><circle cx=\"62\" cy=\"20\" r=\"6\" fill=\"#28c840\"/>"
        for (n = 1; n <= NR; n++) {
            line = lines[n]; colour = "#d0d7de"; weight = "normal"
            if (line ~ /^#/) colour = "#8b949e"
            else if (line ~ /^[a-z]*\$ /) { colour = "#7ee787"; weight = "bold" }
            printf "  <text x=\"16\" y=\"%d\" fill=\"%s\" font-weight=\"%s\" xml:space=\"preserve\">%s</text>\n", top + (n - 1) * step, colour, weight, escaped(line)
        }
        print "</svg>"
    }
' "$session"
