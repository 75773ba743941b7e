//! Who trusts whom, from a file of ratings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use thiserror::Error;

/// Largest file, bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Most people.
const PEOPLE_MAX: usize = 100_000;
/// The best rating; the worst is its negative.
const RATING_MAX: i64 = 10;

/// A file that holds no ratings.
#[derive(Debug, Error)]
pub enum TrustError {
    /// It cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(String, std::io::Error),
    /// It is too large.
    #[error("the file of ratings is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// A line means nothing.
    #[error("line {0} of the ratings is not \"from,to,rating\" with a rating of -10 to 10")]
    Line(usize),
    /// Too many people.
    #[error("more than {PEOPLE_MAX} people rate each other")]
    TooMany,
    /// Nobody trusts anybody.
    #[error("nobody trusts anybody in these ratings")]
    Empty,
}

/// Two people of whom at least one trusts the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Friendship {
    /// The two, by their places; the smaller place comes first.
    pub people: [usize; 2],
    /// How much each trusts the other, 1 to 10; 0: not at all.
    pub ratings: [u8; 2],
}

/// People, and how much they trust each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustNetwork {
    names: Vec<String>,
    friendships: Vec<Friendship>,
}

impl TrustNetwork {
    /// Reads a file of lines `from,to,rating`; further columns are ignored, and so is a first line of column names.
    ///
    /// # Errors
    /// [`TrustError`]
    pub fn read(file: &Path) -> Result<Self, TrustError> {
        let unreadable = |error| TrustError::Unreadable(file.display().to_string(), error);
        if std::fs::metadata(file).map_err(unreadable)?.len() > FILE_BYTES_MAX {
            return Err(TrustError::TooLarge);
        }
        Self::parse(&std::fs::read_to_string(file).map_err(unreadable)?)
    }

    /// Reads ratings from a text. Only a rating above 0 is trust. Of several ratings the last counts, and nobody rates
    /// himself. People who neither trust nor are trusted are left out.
    ///
    /// # Errors
    /// [`TrustError`]
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        let mut ratings: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || (index == 0 && line.starts_with("from,to,")) {
                continue;
            }
            let wrong = TrustError::Line(index + 1);
            let mut columns = line.split(',').map(str::trim);
            let (Some(from), Some(to), Some(rating)) = (columns.next(), columns.next(), columns.next()) else {
                return Err(wrong);
            };
            let rating = rating.parse().ok().filter(|rating: &i64| rating.abs() <= RATING_MAX);
            let (Some(rating), false, false) = (rating, from.is_empty(), to.is_empty()) else { return Err(wrong) };
            if from != to {
                ratings.insert((from, to), rating);
            }
        }
        ratings.retain(|_, rating| *rating > 0);
        let people: BTreeSet<&str> = ratings.keys().flat_map(|(from, to)| [*from, *to]).collect();
        if people.len() > PEOPLE_MAX {
            return Err(TrustError::TooMany);
        }
        let places: BTreeMap<&str, usize> = people.iter().enumerate().map(|(place, name)| (*name, place)).collect();
        let mut friendships: BTreeMap<[usize; 2], [u8; 2]> = BTreeMap::new();
        for ((from, to), rating) in &ratings {
            let (from, to) = (places[from], places[to]);
            let both = friendships.entry([from.min(to), from.max(to)]).or_default();
            both[usize::from(from > to)] = u8::try_from(*rating).expect("1 to 10");
        }
        if friendships.is_empty() {
            return Err(TrustError::Empty);
        }
        Ok(TrustNetwork {
            names: people.into_iter().map(str::to_owned).collect(),
            friendships: friendships.into_iter().map(|(people, ratings)| Friendship { people, ratings }).collect(),
        })
    }

    /// What the file calls the people; each is known by its place here.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// All friendships, in the order of their people.
    pub fn friendships(&self) -> &[Friendship] {
        &self.friendships
    }

    /// How many credit lines there are.
    pub fn lines(&self) -> usize {
        self.friendships.iter().flat_map(|friendship| friendship.ratings).filter(|rating| *rating > 0).count()
    }

    /// The `count` people with most friends, and their friendships among each other. Fewer when the others have no friends
    /// among them.
    pub fn best_connected(&self, count: usize) -> Self {
        let mut friends = vec![0_usize; self.names.len()];
        self.friendships.iter().flat_map(|friendship| friendship.people).for_each(|person| friends[person] += 1);
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        order.sort_by_key(|person| (std::cmp::Reverse(friends[*person]), *person));
        let chosen: BTreeSet<usize> = order.into_iter().take(count).collect();
        let inside = self.friendships.iter().filter(|friendship| friendship.people.iter().all(|p| chosen.contains(p)));
        let inside: Vec<Friendship> = inside.copied().collect();
        let kept: BTreeSet<usize> = inside.iter().flat_map(|friendship| friendship.people).collect();
        let places: BTreeMap<usize, usize> = kept.iter().enumerate().map(|(place, person)| (*person, place)).collect();
        TrustNetwork {
            names: kept.iter().map(|person| self.names[*person].clone()).collect(),
            friendships: inside
                .into_iter()
                .map(|friendship| Friendship { people: friendship.people.map(|person| places[&person]), ..friendship })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trust_makes_friends_and_each_direction_counts() {
        let text = "from,to,rating,time\nb,a,3,100\na,b,10,100\nc,a,-5,7\n\na,c,1,0\nd,d,9\nb,d,-1\nb,a,4,200\n";
        let network = TrustNetwork::parse(text).unwrap();
        assert_eq!(network.names(), ["a", "b", "c"]);
        let expected =
            [Friendship { people: [0, 1], ratings: [10, 4] }, Friendship { people: [0, 2], ratings: [1, 0] }];
        assert_eq!((network.friendships(), network.lines()), (&expected[..], 3));
    }

    #[test]
    fn what_is_no_rating_is_named() {
        for (text, line) in [("a,b", 1), ("a,b,1\na,b,11", 2), ("a,b,1\n\n,b,1", 3), ("a,b,much", 1)] {
            assert!(matches!(TrustNetwork::parse(text), Err(TrustError::Line(found)) if found == line), "{text}");
        }
        assert!(matches!(TrustNetwork::parse("a,b,-1\nc,c,5"), Err(TrustError::Empty)));
    }

    #[test]
    fn the_best_connected_keep_their_friendships() {
        let network = TrustNetwork::parse("a,b,1\na,c,2\nb,c,3\nd,a,4\ne,d,5").unwrap();
        let three = network.best_connected(3);
        assert_eq!(three.names(), ["a", "b", "c"]);
        let ratings: Vec<_> = three.friendships().iter().map(|friendship| friendship.ratings).collect();
        assert_eq!(ratings, [[1, 0], [2, 0], [3, 0]]);
        assert_eq!(network.best_connected(9), network);
    }
}
