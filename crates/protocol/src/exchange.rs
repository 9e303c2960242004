//! The exchange: how a POS server takes the chain's loyalty data and hands in its transactions.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// `POST /exchange`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ExchangeRequest {
    /// Up to where this POS server has taken the changes; 0 in a new database.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    pub cursor: i64,
    /// [`checksum`] of its rows at that cursor; null between the pages of one exchange, whose end is checked.
    #[serde(default)]
    pub checksum: Option<String>,
    /// Transactions that wait to be sent, oldest first, at most [`MAX_TRANSACTIONS`].
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_items = 500))]
    pub transactions: Vec<Transaction>,
}

/// What an exchange gives. All transactions of the request are then written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExchangeAnswer {
    /// In the order in which they apply, at most [`MAX_CHANGES`].
    pub changes: Vec<Change>,
    /// Where the next exchange goes on.
    pub cursor: i64,
    /// [`checksum`] of the rows after these changes; null while `more` is true.
    pub checksum: Option<String>,
    /// Whether there are further changes to ask for at once.
    pub more: bool,
}

/// How many transactions a request carries at most.
pub const MAX_TRANSACTIONS: usize = 500;
/// How many changes an answer carries at most.
pub const MAX_CHANGES: usize = 500;

/// One change of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Change {
    /// A change applies once, however often it is sent.
    pub id: Uuid,
    /// What becomes of which row.
    #[serde(flatten)]
    pub row: RowChange,
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum RowChange {
    /// It is there with this content.
    Upsert {
        /// The row.
        row: Row,
    },
    /// It is gone.
    Delete {
        /// In which table.
        table: Table,
        /// Which row.
        row_id: Uuid,
    },
}

/// The tables of a POS database that come from the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// [`Program`].
    Programs,
    /// [`Guest`].
    Guests,
    /// [`GuestAccount`].
    GuestAccounts,
}

impl Table {
    /// Every table, in the order that the checksum takes them.
    pub const ALL: &[Self] = &[Self::Programs, Self::Guests, Self::GuestAccounts];

    /// The table's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Programs => "programs",
            Self::Guests => "guests",
            Self::GuestAccounts => "guest_accounts",
        }
    }
}

/// A row of one of the tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "table", rename_all = "snake_case")]
pub enum Row {
    /// A loyalty program.
    Programs(Program),
    /// A guest.
    Guests(Guest),
    /// What a guest has in a program.
    GuestAccounts(GuestAccount),
}

impl Row {
    /// Which table it belongs to.
    pub fn table(&self) -> Table {
        match self {
            Self::Programs(_) => Table::Programs,
            Self::Guests(_) => Table::Guests,
            Self::GuestAccounts(_) => Table::GuestAccounts,
        }
    }

    /// The row's id.
    pub fn id(&self) -> Uuid {
        match self {
            Self::Programs(row) => row.id,
            Self::Guests(row) => row.id,
            Self::GuestAccounts(row) => row.id,
        }
    }
}

/// A loyalty program of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The program's id.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// How much of a bill becomes bonus, in hundredths of a percent.
    pub bonus_basis_points: u32,
    /// Whether it is running.
    pub active: bool,
}

/// A guest who takes part in programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// The guest's id.
    pub id: Uuid,
    /// What the guest is called.
    pub name: String,
    /// By which a till finds the guest.
    pub phone: Option<String>,
    /// Number of a loyalty card.
    pub card: Option<String>,
}

/// What a guest has in a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GuestAccount {
    /// The account's id.
    pub id: Uuid,
    /// Whose it is.
    pub guest_id: Uuid,
    /// In which program.
    pub program_id: Uuid,
    /// The balance that the cloud knows; transactions not sent yet are not in it.
    pub balance: Amount,
}

/// Something that happened at a till and changes a balance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Transaction {
    /// A transaction counts once, however often it is sent.
    pub id: Uuid,
    /// Which account.
    pub guest_account_id: Uuid,
    /// What is added; below zero it is spent.
    pub amount: Amount,
    /// What for.
    #[cfg_attr(feature = "openapi", schema(max_length = 1000))]
    pub reason: String,
    /// When it happened at the till.
    pub at: DateTime<Utc>,
}

/// The checksum of a POS database: SHA-256, 64 lower-case hexadecimal digits, over one line of JSON for each
/// row, ordered by table ([`Table::ALL`]) and then by id. The caller gives the rows in that order.
pub fn checksum<'a>(rows: impl IntoIterator<Item = &'a Row>) -> String {
    let mut sum = Checksum::default();
    for row in rows {
        sum.add(row);
    }
    sum.finish()
}

/// Builds [`checksum`] row by row, for tables that are read through a cursor.
#[derive(Default)]
pub struct Checksum(Sha256);

impl Checksum {
    /// Adds the next row; rows come ordered by table and id.
    pub fn add(&mut self, row: &Row) {
        let line = serde_json::to_string(row).expect("a row is plain JSON");
        self.0.update(line.as_bytes());
        self.0.update(b"\n");
    }

    /// The digest in hexadecimal.
    pub fn finish(self) -> String {
        format!("{:x}", self.0.finalize())
    }
}

/// Money or bonus points in hundredths. On the wire a decimal text such as `"12.50"`; a JSON number with at
/// most two decimals is read too, up to [`MAX_NUMBER`], where a double still tells hundredths apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(pub i64);

/// The largest amount that is read from a JSON number.
const MAX_NUMBER: f64 = 1e13;

/// The text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount is a decimal number with at most two places, such as 12.50")]
pub struct AmountError;

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let hundredths = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", hundredths / 100, hundredths % 100)
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || places.len() > 2 || !plain(whole) || !plain(places) {
            return Err(AmountError);
        }
        let hundredths = format!("{whole}{places:0<2}").parse::<i64>().map_err(|_| AmountError)?;
        Ok(Self(if negative { -hundredths } else { hundredths }))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire {
            Text(String),
            Number(serde_json::Number),
        }
        match Wire::deserialize(deserializer)? {
            Wire::Text(text) => text.parse().map_err(serde::de::Error::custom),
            Wire::Number(number) => {
                let hundredths = number.as_f64().unwrap_or(f64::NAN) * 100.0;
                // Sums of doubles are off by a little: 0.1 + 0.2 is 0.30000000000000004.
                let close = (hundredths - hundredths.round()).abs() < 1e-3;
                if close && hundredths.abs() <= MAX_NUMBER * 100.0 {
                    Ok(Self(hundredths.round() as i64))
                } else {
                    Err(serde::de::Error::custom(AmountError))
                }
            }
        }
    }
}

#[cfg(feature = "openapi")]
mod schema {
    use utoipa::openapi::schema::{AdditionalProperties, AnyOfBuilder, ObjectBuilder, OneOfBuilder, Type};
    use utoipa::openapi::{RefOr, Schema};
    use utoipa::{PartialSchema, ToSchema};

    use super::{Amount, Guest, GuestAccount, MAX_NUMBER, Program, Row, Table};

    impl ToSchema for Amount {}
    impl PartialSchema for Amount {
        fn schema() -> RefOr<Schema> {
            let text = ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some(r"^-?[0-9]{1,15}(\.[0-9]{1,2})?$"))
                .description(Some(
                    "A decimal number with at most two places; answers always have this form.",
                ));
            let number = ObjectBuilder::new()
                .schema_type(Type::Number)
                .multiple_of(Some(0.01))
                .minimum(Some(-MAX_NUMBER))
                .maximum(Some(MAX_NUMBER));
            RefOr::T(Schema::AnyOf(AnyOfBuilder::new().item(text).item(number).build()))
        }
    }

    impl ToSchema for Row {
        fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            GuestAccount::schemas(schemas);
        }
    }
    impl PartialSchema for Row {
        /// Each kind of row with the name of its table. Put together from the rows' own schemas and the table's they
        /// would exclude each other, as rows refuse what they do not know.
        fn schema() -> RefOr<Schema> {
            let kinds = [
                (Table::Programs, Program::schema()),
                (Table::Guests, Guest::schema()),
                (Table::GuestAccounts, GuestAccount::schema()),
            ];
            let mut one_of = OneOfBuilder::new().description(Some("A row of one of the tables."));
            for (table, schema) in kinds {
                if let RefOr::T(Schema::Object(mut row)) = schema {
                    let name =
                        ObjectBuilder::new().schema_type(Type::String).enum_values(Some([table.as_str()]));
                    row.properties.insert("table".into(), name.build().into());
                    row.required.push("table".into());
                    row.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
                    one_of = one_of.item(row);
                }
            }
            RefOr::T(Schema::OneOf(one_of.build()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (text, hundredths) in
            [("12.50", 1250), ("-0.05", -5), ("3", 300), ("0.1", 10), ("-7.5", -750), ("0", 0)]
        {
            assert_eq!(text.parse(), Ok(Amount(hundredths)), "{text}");
            assert_eq!(Amount(hundredths).to_string().parse(), Ok(Amount(hundredths)));
        }
        for (number, hundredths) in
            [("10.5", 1050), ("-3", -300), ("0.30000000000000004", 30), ("1e3", 100_000)]
        {
            assert_eq!(serde_json::from_str::<Amount>(number).unwrap(), Amount(hundredths), "{number}");
        }
        for number in ["12.345", "1e14", "0.005"] {
            assert!(serde_json::from_str::<Amount>(number).is_err(), "{number}");
        }
        for text in ["", "-", ".5", "1.234", "1e3", "1,5", "+1", "99999999999999999999"] {
            assert!(text.parse::<Amount>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_checksum_sees_every_field() {
        let program =
            Program { id: Uuid::nil(), name: "Bonus".into(), bonus_basis_points: 500, active: true };
        let sum = |program: &Program| checksum([&Row::Programs(program.clone())]);
        let before = sum(&program);
        assert_eq!(before.len(), 64);
        assert_eq!(before, sum(&program));
        assert_ne!(before, sum(&Program { active: false, ..program.clone() }));
        assert_ne!(before, sum(&Program { name: "Bonus ".into(), ..program }));
    }

    #[test]
    fn changes_survive_the_wire() {
        let account = GuestAccount {
            id: Uuid::nil(),
            guest_id: Uuid::nil(),
            program_id: Uuid::nil(),
            balance: Amount(-105),
        };
        for row in [
            RowChange::Upsert { row: Row::GuestAccounts(account) },
            RowChange::Delete { table: Table::Guests, row_id: Uuid::nil() },
        ] {
            let change = Change { id: Uuid::nil(), row };
            let text = serde_json::to_string(&change).unwrap();
            assert_eq!(serde_json::from_str::<Change>(&text).unwrap(), change, "{text}");
        }
    }
}
