//! Columns aligned as runc's tables have them (Go's tabwriter with a width of at least 12 and a padding of 3).

/// A column is at least this wide, padding included.
const MINIMUM: usize = 12;
/// Spaces after the widest cell of a column.
const PADDING: usize = 3;

/// Lays `rows` out; the last cell of a row is not padded.
pub(crate) fn layout(rows: &[Vec<String>]) -> String {
    let width = |cell: &String| cell.chars().count();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(width).max().unwrap_or(0))
        .map(|widest| (widest + PADDING).max(MINIMUM))
        .collect();
    let mut text = String::new();
    for row in rows {
        for (index, (cell, column)) in row.iter().zip(&widths).enumerate() {
            text.push_str(cell);
            if index + 1 < row.len() {
                text.extend(std::iter::repeat_n(' ', column - width(cell)));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
    }

    #[test]
    fn the_layout_is_runcs() {
        // The output of Debian's runc 1.1.5.
        let header: &[&str] = &["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];
        assert_eq!(layout(&rows(&[header])), "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n");
        let one: &[&str] = &["c1", "9022", "created", "/tmp/cli-or/b", "2026-11-21T02:18:15.731748858Z", "root"];
        assert_eq!(
            layout(&rows(&[header, one])),
            "ID          PID         STATUS      BUNDLE          CREATED                          OWNER\n\
             c1          9022        created     /tmp/cli-or/b   2026-11-21T02:18:15.731748858Z   root\n"
        );
    }

    #[test]
    fn widths_count_characters() {
        assert_eq!(layout(&rows(&[&["ééééééééééé", "x"], &["a", ""]])), "ééééééééééé   x\na             \n");
    }
}
