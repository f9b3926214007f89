//! `flume-ng`: the command line. Exit codes: 0 success, 1 failure at run time, 2 usage or configuration.

mod agent;
mod args;
mod avro_client;
mod codes;
mod commands;
mod configuration;
mod console;
mod convert;
mod describe;
mod doctor;
mod graph;
mod hadoop;
mod java_trial;
mod jvm_properties;
mod known;
mod launcher;
mod logging;
mod loglevel;
mod manual;
mod options_file;
mod outcome;
mod pipeline_test;
mod process;
mod progress;
mod provision;
mod registry;
mod report;
mod report_page;
mod sarif;
mod state_dir;
mod status;
mod system_properties;
mod tap;
mod tool;
mod top;
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
            match launcher::source_environment(&arguments) {
                Ok(()) => commands::run(&arguments),
                Err(error) => {
                    eprintln!("flume-ng: {error}");
                    outcome::ExitCode::WRONG
                }
            }
        }
        Err(error) => {
            eprintln!("flume-ng: {error}");
            outcome::ExitCode::FAILURE
        }
    };
    console::flush();
    process::exit(code)
}
