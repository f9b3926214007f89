//! Every kind of diagnostic: its stable code, how bad it is, and its page of the manual.
//!
//! A code never changes its meaning. A new kind of mistake gets the next free number of its group; the number of a kind
//! that is gone is not used again.

use crate::Severity;

/// What the manual says about a code.
#[derive(Clone, Copy, Debug)]
pub struct CodePage {
    /// `FLM0401`
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// One line, for lists.
    pub title: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What Java Flume does in this case.
    pub flume: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

macro_rules! codes {
    ($($variant:ident $id:literal $severity:ident $title:literal, $meaning:literal, $flume:literal, $remedy:literal;)*) => {
        /// A kind of diagnostic.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// Every code, in the order of the numbers.
            pub const ALL: &[Code] = &[$(Code::$variant),*];

            /// Its page of the manual.
            pub const fn page(self) -> CodePage {
                match self {
                    $(Code::$variant => CodePage {
                        id: $id,
                        severity: Severity::$severity,
                        title: $title,
                        meaning: $meaning,
                        flume: $flume,
                        remedy: $remedy,
                    },)*
                }
            }
        }
    };
}

impl Code {
    /// `FLM0401`
    pub const fn id(self) -> &'static str {
        self.page().id
    }

    /// How bad it is.
    pub const fn severity(self) -> Severity {
        self.page().severity
    }

    /// Whether Java Flume, too, leaves out a component for which this is reported.
    pub const fn drops_in_flume(self) -> bool {
        matches!(
            self,
            Code::RequiredNotSet
                | Code::NothingSet
                | Code::WrongValue
                | Code::PropertiesClash
                | Code::SourceBatchTooLarge
                | Code::SinkBatchTooLarge
                | Code::NoSuchChannel
        )
    }
}

// 01: the text of a file. 02: components and how they are connected. 03: types. 04: properties. 05: the hdfs sink.
// 09: files other than a configuration of agents.
#[rustfmt::skip]
codes! {
    BadEscape "FLM0101" Error "an escape is malformed",
        "`\\u` in a value or key must be followed by four hexadecimal digits. The line is left out.",
        "Flume refuses the whole file.",
        "Write `\\\\u` for a backslash and a `u`, for example in a Windows path.";
    ByteOrderMark "FLM0102" Warning "the file begins with a byte-order mark",
        "An editor has put an invisible mark in front of the first line. This program skips it.",
        "Flume takes the mark as a part of the first key, so the first line has no effect.",
        "Save the file as UTF-8 without a byte-order mark.";
    NotUtf8 "FLM0103" Note "the file is not UTF-8",
        "The file has bytes that are not UTF-8. It is read as ISO-8859-1.",
        "Flume reads the file in the JVM's default encoding.",
        "Save the file as UTF-8, or write other characters as `\\uXXXX`.";
    ValueLost "FLM0104" Warning "a key is set twice, to different values",
        "The same key stands twice in a file. Only the later value counts.",
        "Flume does the same, and says nothing.",
        "Take out the line that you do not mean.";
    SetTwice "FLM0105" Note "a key is set twice, to the same value",
        "The same key stands twice in a file, with the same value. Nothing is lost.",
        "Flume does the same, and says nothing.",
        "Take out one of the lines, so that nobody changes only one of them later.";
    KeyWithoutAgent "FLM0106" Warning "a line belongs to no agent",
        "Keys begin with the name of an agent and a dot. This line has no effect. Often it is a comment that begins with \
         `//` or `--`, or a part of a log that was pasted.",
        "Flume ignores the line, too.",
        "Begin comments with `#`. Write keys as `AGENT.sources.NAME.PROPERTY`.";
    NoValue "FLM0108" Warning "a key has no value",
        "The value is empty, so the line has no effect.",
        "Flume drops the property, too.",
        "Give it a value, or take the line out.";
    Unresolved "FLM0109" Error "a lookup cannot be resolved",
        "The value contains `${…}`, and what it names does not exist. The component cannot run, because the text itself is \
         never meant.",
        "Flume keeps the text, so the component may use a directory called `${env:HOME}`.",
        "Set the variable or property that the message names. `${x:-default}` gives a default, `$${` is a literal `${`.";
    BackslashDropped "FLM0110" Warning "the format drops a backslash",
        "In a properties file a backslash begins an escape, so `\\.` is read as `.`. A regular expression or a path then \
         means something else.",
        "Flume reads the same, and says nothing.",
        "Write two backslashes for one.";
    CommentInValue "FLM0111" Warning "a comment became a part of a value",
        "A `#` begins a comment only at the beginning of a line. Behind a value it belongs to the value.",
        "Flume reads the same, and says nothing.",
        "Move the comment to a line of its own.";
    Placeholder "FLM0112" Warning "a value is a placeholder",
        "The value contains a name in angle brackets, as templates have it, so it was probably never filled in.",
        "Flume takes the text as it is.",
        "Write what the placeholder stands for.";
    Tilde "FLM0113" Warning "a value begins with a tilde",
        "Only a shell knows `~` as the home directory. Here it is the name of a directory below the working directory.",
        "Flume does the same, but for the directories of the file channel, where `~/` is the home directory here, too.",
        "Write the whole path, or `${sys:user.home}/`.";
    WindowsPath "FLM0114" Warning "a value is a path of Windows",
        "The value begins with the letter of a drive. This system has none, so the path is below the working directory.",
        "On Linux Flume does the same.",
        "Write a path of this system.";
    Quoted "FLM0115" Warning "a value stands in quotation marks",
        "Quotation marks mean nothing in the file's format, so they are a part of the value: a directory in them is a \
         directory called `\"` below the working directory.",
        "Flume takes them as a part of the value, too, and says nothing.",
        "Leave the quotation marks out. Blanks inside a value need none.";

    UnknownWord "FLM0201" Warning "the word behind the agent's name is unknown",
        "Behind the agent's name stands one of `sources`, `channels`, `sinks`, `sinkgroups`, `configfilters`. Lines with \
         another word have no effect.",
        "Flume logs a warning and ignores the line.",
        "Correct the word. It is always a plural.";
    NotListed "FLM0202" Warning "a component is set up, but not listed",
        "A component runs only if its name is in its agent's list. The lines of this one have no effect.",
        "Flume ignores the component, and says nothing.",
        "Add the name to the list, or take its lines out.";
    NothingSet "FLM0203" Error "a name is listed, but nothing is set for it",
        "The list names a component that has no lines of its own.",
        "Flume drops the name.",
        "Take the name out of the list, or write the component's `type` and properties.";
    Comma "FLM0204" Warning "names are separated by a comma",
        "Names in lists are separated by blanks. This program takes a comma as a separator, too.",
        "Flume takes the comma as part of the name, finds no such component, and drops it.",
        "Replace the commas by blanks.";
    CommentInList "FLM0205" Warning "a comment stands in a list of names",
        "A `#` begins a comment only at the beginning of a line. In a list each word of the comment counts as a name. \
         This program leaves such names out.",
        "Flume drops them, too, because nothing is set for them.",
        "Move the comment to a line of its own.";
    NoProperty "FLM0206" Warning "a key names no property",
        "Behind the component's name stands no property, so the line has no effect.",
        "Flume ignores the line, too.",
        "Write `AGENT.KIND.NAME.PROPERTY = VALUE`, or the list as `AGENT.KIND = NAMES`.";
    MisspeltAgent "FLM0207" Warning "an agent has components, but lists none",
        "No list of sources, channels or sinks has this agent's name. Most likely the name is misspelt, or its lines \
         belong to another agent.",
        "Flume says that the agent has no channels, and ignores it.",
        "Correct the agent's name in these lines.";
    NoSuchChannel "FLM0208" Error "a channel does not exist",
        "The component names a channel that its agent does not list, so the component cannot run.",
        "Flume drops the component.",
        "Correct the name, or add the channel to the agent's list of channels.";
    ChannelLeftOut "FLM0209" Warning "one of several channels does not exist",
        "A source names several channels, and the agent does not list this one. The source feeds the others.",
        "Flume leaves the channel out without a word.",
        "Correct the name, or add the channel to the agent's list of channels.";
    ChannelUnused "FLM0210" Warning "nothing uses a channel",
        "No source feeds the channel and no sink drains it. It is not opened.",
        "Flume removes the channel with a warning.",
        "Name it at a source and a sink, or take it out.";
    ChannelUndrained "FLM0211" Error "no sink drains a channel",
        "A source feeds the channel, and no sink takes from it. It would fill up, and then the source would fail. \
         Neither is started.",
        "Flume starts both. The source fails as soon as the channel is full.",
        "Give the channel a sink, or take it out of the source's `channels`. `--lenient` starts it as Flume does.";
    ChannelUnfed "FLM0212" Warning "no source feeds a channel",
        "A sink takes from the channel, and no source puts anything into it. The sink delivers what the channel still \
         holds, and then idles.",
        "Flume does the same, and says nothing.",
        "Name the channel at a source, or take it out.";
    CompetingSinks "FLM0213" Warning "sinks of different types share a channel",
        "Sinks that take from one channel share its events: each event reaches one of them. With different types that \
         is rarely meant.",
        "Flume does the same, and says nothing.",
        "For a copy in each sink give each a channel of its own, and list both channels at the source. To share the \
         load on purpose put the sinks into a sink group.";
    NoSuchSink "FLM0214" Warning "a sink of a group does not exist",
        "The group names a sink that the agent does not list.",
        "Flume takes the name out of the group.",
        "Correct the name, or add the sink to the agent's list of sinks.";
    DeadLetterLoop "FLM0216" Error "dead letters would go in a circle",
        "`deadLetterChannel` names the channel that the sink itself drains, so it would take each of them again.",
        "Flume has no dead letters.",
        "Name another channel.";
    PartNotListed "FLM0217" Warning "an interceptor is set up, but not listed",
        "An interceptor works only if its source lists it in `interceptors`.",
        "Flume ignores it, and says nothing.",
        "Add its name to the list, or take its lines out.";
    MisspeltName "FLM0218" Error "a name is listed in one spelling and set up in another",
        "One name is listed and has no lines; one has lines and is not listed. That is most likely one component.",
        "Flume drops the listed name and ignores the other one.",
        "Use the same spelling in both places.";
    SendsBack "FLM0222" Warning "a sink may send events back to its own source",
        "The sink delivers to the place that a source of its channel reads, so events may go in a circle.",
        "Flume does the same, and says nothing.",
        "Use another topic or port, or make sure that the interceptors lead the events elsewhere.";
    SamePort "FLM0223" Error "two sources listen on one port",
        "Only one of the sources can have the port. The other one could not start.",
        "Flume starts both, and tries for ever to start the second one.",
        "Give each source a port or an address of its own.";

    UnknownType "FLM0301" Error "a type does not exist",
        "No component of this kind has this name.",
        "Flume takes the text as a Java class, does not find it, and ends the agent.",
        "Use one of the types that `flume-ng describe` lists, or the name of a Java class on the class path.";
    NotBuilt "FLM0302" Error "Flume has this component, this build does not",
        "The component is a part of Flume. This build has no such component, so the flow cannot run here.",
        "Flume runs it.",
        "Install the Java bridge, which runs Flume's own class, or use another component. docs/differences.md lists what \
         is missing.";
    ForeignClass "FLM0303" Error "a Java class is not part of Flume, and no JVM is set up",
        "The class belongs to a site or another vendor. It can run only in a JVM beside the agent.",
        "Flume runs it, if its jar is on the class path.",
        "Set up the Java bridge and put the jar on the class path with `-C`, or use a component of this program.";
    RunsElsewhere "FLM0304" Note "a component runs outside this program",
        "A part of the component is a Java class, so the whole component runs in a JVM, as Flume's own class.",
        "Flume runs it in its own JVM.",
        "Nothing. If the part has an equal in this program, name that one and save the JVM.";

    ClassFails "FLM0305" Error "a Java class cannot be loaded or configured",
        "`validate --java` loaded the class in a JVM and let it read its configuration. That failed.",
        "Flume drops the component, or ends.",
        "Do what the message says: put the missing jar on the class path, or correct the property.";
    SuspiciousProperty "FLM0306" Warning "a Java class asks for a property with a similar name",
        "The class did not ask for this property when it was configured, but for one that is spelt alike.",
        "Flume says nothing.",
        "Correct the name.";
    UnreadProperty "FLM0307" Note "a Java class did not ask for a property",
        "The class did not ask for this property when it was configured. Some classes read more when they start.",
        "Flume says nothing.",
        "Nothing, if the class reads it later. Else take the line out.";
    ClassCase "FLM0308" Warning "a class is written in another case",
        "Names of Java classes have one spelling. This program understands the other one, too.",
        "Flume finds no such class, and ends the agent.",
        "Write the class as the message has it.";

    RequiredNotSet "FLM0401" Error "a required property is not set",
        "The component cannot run without this property.",
        "Flume drops the component.",
        "Set the property. `flume-ng describe TYPE` explains it.";
    WrongValue "FLM0402" Error "a value has the wrong form",
        "The value is not what the property takes, so the component cannot run.",
        "Flume drops the component.",
        "Write what the message expects. Units, thousands separators and comments belong to no number.";
    FallsBack "FLM0403" Warning "a wrong value is replaced by the default",
        "The value is not what the property takes. As in Flume the default is used.",
        "Flume logs a warning and uses the default, too.",
        "Write what the message expects.";
    UnknownProperty "FLM0404" Warning "a property is unknown",
        "The component has no such property, so the line has no effect.",
        "Flume ignores it, and says nothing.",
        "Correct the name, or take the line out. `flume-ng describe TYPE` lists the properties.";
    FormerName "FLM0405" Warning "a property has a new name",
        "The property is written under a former name, which still works.",
        "Flume accepts some former names, with a warning or without.",
        "Use the new name.";
    NoEffect "FLM0406" Note "a property has no effect here",
        "Flume has the property, and it has no meaning in this program. The message says why.",
        "Flume uses it.",
        "Nothing. The line may stay for the way back to Flume.";
    NotBoolean "FLM0407" Warning "a switch has a value that counts as false",
        "Only `true` switches a property on, in any case. Everything else counts as `false`.",
        "Flume does the same, and says nothing.",
        "Write `true` or `false`.";
    PropertiesClash "FLM0408" Error "properties do not fit together",
        "Each of the properties is right by itself, but the component cannot be built with all of them. One of them may \
         be a default.",
        "Flume drops the component in most of these cases.",
        "Change one of the properties that the message names.";
    SourceBatchTooLarge "FLM0409" Error "a source's batch does not fit into its channel",
        "A batch is one transaction. A batch beyond the channel's `transactionCapacity` would be refused for ever.",
        "Flume drops the source.",
        "Lower the source's batch, or raise the channel's `transactionCapacity`.";
    SinkBatchTooLarge "FLM0410" Warning "a sink's batch exceeds its channel's transactionCapacity",
        "The sink takes smaller batches, and runs.",
        "Flume drops the sink.",
        "Lower the sink's batch, or raise the channel's `transactionCapacity`.";
    WrongSetting "FLM0413" Warning "a setting of a library has no effect",
        "The library behind this component does not have the setting, or understands it differently.",
        "Flume hands it to the Java library.",
        "See the message.";
    Panicked "FLM0415" Error "a component failed while it was built",
        "The component has a fault. The message is the program's own.",
        "Flume does not have this fault.",
        "Report it, with the component's lines.";
    BlankSeparated "FLM0416" Warning "directories are separated by blanks",
        "Only commas separate the directories of this list. A blank is a part of a name.",
        "Flume takes the whole text as one directory, too, and says nothing.",
        "Separate the directories by commas.";

    SmallFiles "FLM0501" Warning "the sink makes many small files",
        "Without limits of its own the sink completes a file after 30 s, 1024 bytes or 10 events.",
        "Flume does the same.",
        "Set `hdfs.rollInterval`, `hdfs.rollSize` and `hdfs.rollCount`; 0 switches a limit off.";
    NoTimestamp "FLM0502" Warning "events have no time for the path",
        "The path has escapes of time, and no source or interceptor sets the header `timestamp`. Every event is \
         malformed for the sink.",
        "Flume fails with each event, rolls back, and stands still.",
        "Add a `timestamp` interceptor, or set `hdfs.useLocalTimeStamp = true`.";
    HeaderPath "FLM0503" Warning "a path begins with a header",
        "A path that begins with a header is below the home directory.",
        "Flume takes it as absolute if the header's value begins with `/`.",
        "Write the first directory in front of the header.";
    ExecTails "FLM0504" Warning "an exec source runs `tail`",
        "`tail` does not remember how far it has read. Lines are lost, or come twice, when the agent or the command ends.",
        "Flume does the same, and says nothing.",
        "Use a source with `type = TAILDIR`. `flume-ng convert exec-to-taildir -f FILE` writes it.";
    NoSelectorDefault "FLM0505" Warning "a selector drops events without a mapping",
        "A `multiplexing` selector without `selector.default` drops each event whose header has no mapping.",
        "Flume does the same, and says nothing.",
        "Set `selector.default` to a channel for the other events, if they are not to be dropped.";
    NeedsShell "FLM0506" Warning "a command needs a shell",
        "Without `shell` the command is split at white space and run by itself. Pipes, redirections, patterns and \
         variables of a shell are then ordinary arguments.",
        "Flume does the same, and says nothing.",
        "Set `shell = /bin/sh -c`.";
    UnknownEscape "FLM0507" Warning "an escape of a path does not exist",
        "Behind `%` stands a letter that is not an escape of the hdfs sink, so nothing stands in its place. Or the name in \
         `%{…}` or `%[…]` has a character that no such name can have, so the text stays as it is.",
        "Flume does the same. It logs a warning for each event with an unknown letter.",
        "Write the escape that you mean: `%H` is the hour, `%M` the minute, `%{host}` a header, `%[host]` this host.";
    EscapeStays "FLM0508" Warning "an escape stands where none is expanded",
        "Only `hdfs.path` and `hdfs.filePrefix` have escapes. Elsewhere the text stays as it is, so the names of files \
         have a percent sign.",
        "Flume does the same, and says nothing.",
        "Put the escape into `hdfs.filePrefix` or `hdfs.path`.";
    HeaderNeverSet "FLM0509" Warning "no event has a header that the path names",
        "The path names a header that no source and no interceptor of the channel sets, so nothing stands in its place. \
         Often the header has another name.",
        "Flume does the same, and says nothing.",
        "Name a header that is set, or add an interceptor that sets this one.";
    NeverFinished "FLM0510" Warning "nothing finishes the files",
        "All roll limits are 0, and `hdfs.idleTimeout` is not set. When the time in the path moves on, the file before \
         gets no more events, and keeps its `.tmp` until the agent stops.",
        "Flume does the same, and says nothing.",
        "Set `hdfs.idleTimeout`, or one of the roll limits.";
    SentForEver "FLM0520" Warning "a sink sends what was accepted again",
        "The http sink rolls an event back after each status that its configuration does not name. So an event that the \
         server accepts comes again, and no other event follows.",
        "Flume does the same, and says nothing.",
        "Set `rollback.200 = false` and `backoff.200 = false`, or `defaultRollback = false`.";

    NodeFile "FLM0901" Error "a node configuration is wrong",
        "`flume-ng provision` reads a JSON file that describes the host. The message says what is wrong in it.",
        "Flume has no such file.",
        "Correct the place that the message names.";
    NodeRemark "FLM0902" Warning "a node configuration is doubtful",
        "The JSON file that describes the host is valid. The message says what is hardly meant in it.",
        "Flume has no such file.",
        "Correct the place that the message names, if it is not meant.";
}
