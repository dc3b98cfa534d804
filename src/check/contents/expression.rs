//! Expressions of the schema that say the same and are written otherwise.
//!
//! A server that reads its own text of an array's cast again keeps it as a cast of each element: `(ARRAY[a, b])::t[]` comes
//! back from a dump as `ARRAY[(a)::t, (b)::t]` (seen with PostgreSQL 15, `IN` and `= ANY`). Both are made that one here.
//! All else must be the same to the letter, brackets above all: they say what belongs together.

/// How a cast of an array begins.
const CAST: &str = "(ARRAY[";

/// The text with each cast of an array as a cast of its elements.
pub fn elementwise(text: &str) -> String {
    let (mut result, mut quote, mut done) = (String::new(), None, 0);
    for (at, c) in text.char_indices() {
        if at < done {
            continue;
        }
        let begins = quote.is_none() && text[at..].starts_with(CAST) && !result.ends_with(is_name);
        if let Some((elements, end)) = begins.then(|| cast(text, at)).flatten() {
            result += &elements;
            done = end;
            continue;
        }
        quote = after(quote, c);
        result.push(c);
    }
    result
}

/// A bracket right behind a name is a call's.
fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '"')
}

/// The array whose cast begins here, with the cast at its elements, and where that cast ends; nothing if it is none.
fn cast(text: &str, begin: usize) -> Option<(String, usize)> {
    let open = begin + CAST.len() - 1;
    let close = closing(text, open)?;
    let kind = text[close + 1..].strip_prefix(")::")?;
    let length = kind.find("[]")?;
    let of_type = |c: char| is_name(c) || matches!(c, ' ' | '.' | '(' | ')' | ',');
    let kind = Some(&kind[..length]).filter(|kind| kind.chars().all(of_type))?;
    Some((elements(&text[open + 1..close], kind), close + 1 + ")::".len() + length + "[]".len()))
}

/// An array of elements, each of them cast; of an array of arrays, the innermost.
fn elements(list: &str, kind: &str) -> String {
    let element = |element: &str| match element.strip_prefix("ARRAY[").and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) if closing(element, "ARRAY".len()) == Some(element.len() - 1) => elements(inner, kind),
        _ => format!("({})::{kind}", elementwise(element)),
    };
    let elements: Vec<_> = split(list).into_iter().map(element).collect();
    format!("ARRAY[{}]", elements.join(", "))
}

/// The parts of a list between its own commas.
fn split(list: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut depth, mut quote) = (vec![], 0, 0, None);
    for (at, c) in list.char_indices() {
        match c {
            '(' | '[' if quote.is_none() => depth += 1,
            ')' | ']' if quote.is_none() => depth -= 1,
            ',' if quote.is_none() && depth == 0 => {
                parts.push(list[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
        quote = after(quote, c);
    }
    parts.push(list[begin..].trim());
    parts
}

/// Where the bracket closes that opens at a place.
fn closing(text: &str, open: usize) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, c) in text[open..].char_indices() {
        match c {
            '(' | '[' if quote.is_none() => depth += 1,
            ')' | ']' if quote.is_none() => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(open + at);
        }
        quote = after(quote, c);
    }
    None
}

/// In which quotes one is after a character. A doubled quote ends and begins.
fn after(quote: Option<char>, c: char) -> Option<char> {
    match quote {
        Some(open) if open == c => None,
        None if matches!(c, '\'' | '"') => Some(c),
        quote => quote,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) -> bool {
        elementwise(one) == elementwise(other)
    }

    #[test]
    fn a_cast_of_an_array_and_of_each_of_its_elements_are_the_same() {
        let made = "CHECK (((stage)::text = ANY ((ARRAY['active'::character varying, 'de,l]eted'::character varying])::text[])))";
        let restored = "CHECK (((stage)::text = ANY (ARRAY[('active'::character varying)::text, ('de,l]eted'::character varying)::text])))";
        assert!(same(made, restored) && same(made, made));
        assert!(!same(made, &restored.replace("active", "gone")) && !same(made, &restored.replace(")::text,", "),")));
        assert!(same(
            "x = ANY ((ARRAY[1, f(2, 3)])::numeric(9,2)[])",
            "x = ANY (ARRAY[(1)::numeric(9,2), (f(2, 3))::numeric(9,2)])"
        ));
        assert!(same("(ARRAY[ARRAY[a], ARRAY[b]])::t[]", "ARRAY[ARRAY[(a)::t], ARRAY[(b)::t]]"));
        assert!(same("((ARRAY[(ARRAY[a])::b[]])::c[])", "(ARRAY[(ARRAY[(a)::b])::c])"));
    }

    #[test]
    fn brackets_that_say_what_belongs_together_count() {
        assert!(!same("CHECK (((a OR b) AND c))", "CHECK ((a OR (b AND c)))"));
        assert!(!same("WHERE ((a + b) * c > 0)", "WHERE (a + (b * c) > 0)"));
        assert!(!same("(a)::text", "a"), "so do casts");
        assert!(!same("f(ARRAY[a])::t[]", "fARRAY[(a)::t]"), "a call's bracket is no array's");
        assert!(!same("'(ARRAY[a])::t[]'::text", "'ARRAY[(a)::t]'::text"), "what is quoted is a text");
        assert!(!same("(ARRAY[a]", "ARRAY[a"), "what ends early is left as it is");
    }
}
