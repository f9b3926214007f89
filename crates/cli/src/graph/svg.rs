//! SVG with a layout of three columns: sources, channels, sinks, each from top to bottom in the order of the files.

use std::fmt::Write as _;

use crate::graph::shape::{Node, NodeKind, Shape, one_line};

const BOX_WIDTH: usize = 300;
const COLUMN_STEP: usize = 460;
const LINE_HEIGHT: usize = 17;
const PADDING: usize = 10;
const GAP: usize = 24;
const MARGIN: usize = 20;
/// Characters that fit into a box; the whole text is in its title.
const LINE_CHARS: usize = 40;
const EDGE_LABEL_CHARS: usize = 22;
const STYLE: &str = "svg.flow{font:12px ui-monospace,monospace;background:#fff;color:#1b1b1f}\
.flow text{fill:#1b1b1f}.flow .name{font-weight:bold}.flow rect{fill:#f6f6f8;stroke-width:1.5}\
.flow .runs rect{stroke:#2a7d3f}.flow .remarked rect{stroke:#b36b00;stroke-width:2.5}\
.flow .refused rect{stroke:#c0262d;stroke-width:3}.flow path{fill:none;stroke:#5b5b66;stroke-width:1.5}\
.flow .dashed{stroke-dasharray:5 4}\
@media(prefers-color-scheme:dark){svg.flow{background:#16161a}.flow text{fill:#ececf1}.flow rect{fill:#24242b}\
.flow path{stroke:#a0a0ad}.flow .runs rect{stroke:#5fc27a}.flow .remarked rect{stroke:#f0a844}.flow .refused rect{stroke:#ff6b72}}";

/// Text of XML.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            // No characters of XML.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A file of its own: all agents, one below the other.
pub(super) fn page(shapes: &[Shape]) -> String {
    let mut body = String::new();
    let mut top = 0;
    let mut width = 0;
    for shape in shapes {
        let part = Drawing::of(shape, top);
        body += &part.text;
        top = part.bottom;
        width = width.max(part.width);
    }
    svg(&body, width, top)
}

/// The drawing of one agent, to stand in a page.
pub(crate) fn drawing(shape: &Shape) -> String {
    let part = Drawing::of(shape, 0);
    svg(&part.text, part.width, part.bottom)
}

fn svg(body: &str, width: usize, height: usize) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"flow\" role=\"img\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\"><style>{STYLE}</style><defs><marker id=\"head\" viewBox=\"0 0 8 8\" \
         refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" \
         style=\"fill:#5b5b66\"/></marker></defs>\n{body}</svg>\n"
    )
}

struct Drawing {
    text: String,
    bottom: usize,
    width: usize,
}

/// Where a node stands.
struct Spot {
    x: usize,
    y: usize,
    height: usize,
}

impl Drawing {
    fn of(shape: &Shape, top: usize) -> Drawing {
        let mut text = String::new();
        let title = format!("agent {}", shape.agent);
        line(
            &mut text,
            MARGIN,
            top + MARGIN + LINE_HEIGHT,
            "name",
            &title,
            LINE_CHARS,
        );
        let start = top + MARGIN + LINE_HEIGHT + GAP;
        let mut column_end = [start; 3];
        let mut spots = vec![];
        for node in &shape.nodes {
            let column = match node.kind {
                NodeKind::Source => 0,
                NodeKind::Channel => 1,
                NodeKind::Sink => 2,
            };
            let height = node.lines().len() * LINE_HEIGHT + 2 * PADDING;
            let y = column_end[column];
            column_end[column] = y + height + GAP;
            spots.push(Spot {
                x: MARGIN + column * COLUMN_STEP,
                y,
                height,
            });
        }
        for edge in &shape.edges {
            draw_edge(
                &mut text,
                &spots[edge.from],
                &spots[edge.to],
                &edge.label,
                edge.dashed,
            );
        }
        for (node, spot) in shape.nodes.iter().zip(&spots) {
            draw_node(&mut text, node, spot);
        }
        let mut bottom = column_end.into_iter().max().unwrap_or(start);
        for (_, finding) in &shape.findings {
            bottom += LINE_HEIGHT;
            line(&mut text, MARGIN, bottom, "part", finding, 3 * LINE_CHARS);
        }
        Drawing {
            text,
            bottom: bottom + MARGIN,
            width: 2 * COLUMN_STEP + BOX_WIDTH + 2 * MARGIN,
        }
    }
}

fn draw_node(text: &mut String, node: &Node, spot: &Spot) {
    let lines = node.lines();
    let corner = if node.kind == NodeKind::Channel {
        14
    } else {
        3
    };
    let _ = write!(
        text,
        "<g class=\"{}\"><title>{}</title><rect x=\"{}\" y=\"{}\" width=\"{BOX_WIDTH}\" height=\"{}\" rx=\"{corner}\"/>",
        node.standing().name(),
        escaped(&lines.join("; ")),
        spot.x,
        spot.y,
        spot.height,
    );
    for (number, shown) in lines.iter().enumerate() {
        let class = if number == 0 { "name" } else { "part" };
        let y = spot.y + PADDING + (number + 1) * LINE_HEIGHT - 4;
        line(text, spot.x + PADDING, y, class, shown, LINE_CHARS);
    }
    *text += "</g>\n";
}

fn line(text: &mut String, x: usize, y: usize, class: &str, shown: &str, chars: usize) {
    let cut = if shown.chars().count() > chars {
        shown.chars().take(chars - 1).chain(['…']).collect()
    } else {
        shown.to_string()
    };
    let _ = write!(
        text,
        "<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{}</text>",
        escaped(&cut)
    );
}

/// Forward from the right side of a box, or back from the left side of a sink to the right side of its channel.
fn draw_edge(text: &mut String, from: &Spot, to: &Spot, label: &str, dashed: bool) {
    let forward = from.x < to.x;
    // A way back keeps clear of the ways forward.
    let shift = if forward { 0 } else { PADDING };
    let from_x = if forward { from.x + BOX_WIDTH } else { from.x };
    let to_x = if forward { to.x } else { to.x + BOX_WIDTH };
    let from_y = from.y + from.height / 2 + shift;
    let to_y = to.y + to.height / 2 + shift;
    let bend = (from_x + to_x) / 2;
    let class = if dashed { " class=\"dashed\"" } else { "" };
    let _ = write!(
        text,
        "<path{class} d=\"M{from_x} {from_y}C{bend} {from_y} {bend} {to_y} {to_x} {to_y}\" marker-end=\"url(#head)\"><title>{}</title></path>",
        escaped(label)
    );
    if !label.is_empty() {
        let x = if forward { from_x + 8 } else { to_x + 8 };
        let y = if forward {
            (from_y + 2 * to_y) / 3
        } else {
            to_y + LINE_HEIGHT
        };
        line(
            text,
            x,
            y.saturating_sub(4),
            "label",
            label,
            EDGE_LABEL_CHARS,
        );
    }
    text.push('\n');
}
