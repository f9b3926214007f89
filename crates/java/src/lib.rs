//! What texts mean to Java: regular expressions, date patterns, names of character sets, logins. Configurations of Flume
//! are full of them, and each must mean here what it means there, or be refused.

pub mod charset;
pub mod date_format;
pub mod date_pattern;
pub mod defaults;
pub mod jaas;
pub mod locale;
pub mod regex;
pub mod zone;
