//! The JSON documents of all programs are those of docs/json.md: the page holds an example of each.

use crate::{stctrl, stnode};

/// The headings of the page and the first JSON block below each.
fn blocks(page: &str) -> Vec<(String, String)> {
    let sections = page.split("\n## ").skip(1).filter_map(|section| {
        let (heading, text) = section.split_once('\n')?;
        let (_, block) = text.split_once("```json\n")?;
        let (block, _) = block.split_once("\n```")?;
        Some((heading.to_owned(), block.to_owned()))
    });
    sections.collect()
}

#[test]
fn the_page_shows_what_the_programs_print() {
    let page = include_str!("../docs/json.md");
    let examples = stctrl::examples::examples()
        .into_iter()
        .chain([("Audit", stnode::audit_example()), ("Applications", stnode::apps_example())]);
    let expected = examples.map(|(heading, document)| {
        (heading.to_owned(), serde_json::to_string_pretty(&document).expect("a document is JSON"))
    });
    let expected: Vec<_> = expected.collect();
    let found = blocks(page);
    for (heading, block) in &expected {
        let shown = found.iter().find(|(other, _)| other == heading).map(|(_, block)| block.as_str());
        assert_eq!(shown, Some(block.as_str()), "docs/json.md, \"{heading}\" should hold\n```json\n{block}\n```");
    }
    assert_eq!(found.len(), expected.len(), "docs/json.md shows a document that no program prints");
}
