//! `flume-ng`: the command line. Exit codes: 0 success, 1 failure at run time, 2 usage or configuration.

mod agent;
mod args;
mod avro_client;
mod codes;
mod commands;
mod configuration;
mod describe;
mod doctor;
mod hadoop;
mod known;
mod logging;
mod manual;
mod outcome;
mod process;
mod provision;
mod registry;
mod report;
mod sarif;
mod state_dir;
mod status;
mod system_properties;
mod tool;
mod validate;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ! {
    let code = match process::clean_environment() {
        Ok(()) => {
            let arguments = std::env::args_os()
                .skip(1)
                .map(|word| word.to_string_lossy().into_owned());
            let arguments: Vec<String> = arguments.collect();
            commands::run(&arguments)
        }
        Err(error) => {
            eprintln!("flume-ng: {error}");
            outcome::ExitCode::FAILURE
        }
    };
    process::exit(code)
}
