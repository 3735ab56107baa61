//! JSON that can be wrong in every way: members may repeat, and any text can stand for a value.

use serde_json::Value;

#[derive(Clone, Debug)]
pub enum Tree {
    Text(String),
    List(Vec<Self>),
    /// Names stand with their quotes.
    Object(Vec<(String, Self)>),
}

impl Tree {
    pub fn text(&self) -> String {
        let join = |parts: Vec<String>| parts.join(",");
        match self {
            Self::Text(text) => text.clone(),
            Self::List(items) => format!("[{}]", join(items.iter().map(Self::text).collect())),
            Self::Object(members) => {
                format!(
                    "{{{}}}",
                    join(members.iter().map(|(name, value)| format!("{name}:{}", value.text())).collect())
                )
            }
        }
    }

    /// How many values there are, this one included.
    pub fn size(&self) -> usize {
        1 + match self {
            Self::Text(_) => 0,
            Self::List(items) => items.iter().map(Self::size).sum(),
            Self::Object(members) => members.iter().map(|(_, value)| value.size()).sum(),
        }
    }

    /// The value with this number, counted from the front.
    pub fn nth(&mut self, number: usize) -> &mut Self {
        if number == 0 {
            return self;
        }
        let mut left = number - 1;
        let children: Vec<&mut Self> = match self {
            Self::Text(_) => Vec::new(),
            Self::List(items) => items.iter_mut().collect(),
            Self::Object(members) => members.iter_mut().map(|(_, value)| value).collect(),
        };
        for child in children {
            let size = child.size();
            if left < size {
                return child.nth(left);
            }
            left -= size;
        }
        unreachable!("the number is below the size")
    }
}

impl From<&Value> for Tree {
    fn from(value: &Value) -> Self {
        match value {
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(members) => Self::Object(
                members.iter().map(|(name, value)| (Value::from(name.as_str()).to_string(), value.into())).collect(),
            ),
            other => Self::Text(other.to_string()),
        }
    }
}
