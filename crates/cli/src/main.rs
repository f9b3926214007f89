//! `flume-ng`: the command line.

mod registry;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let _ = registry::REGISTRY;
}
