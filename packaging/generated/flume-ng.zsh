#compdef flume-ng
# Generated from the table of commands.
_flume_ng() {
    if (( CURRENT == 2 )); then
        local -a commands=(
            'agent:run an agent'
            'validate:check a configuration'
            'graph:draw the flows of a configuration, and mark what is wrong'
            'test:run pipeline tests\: events in, events out; nothing outside is touched'
            'status:show what a running agent does'
            'top:watch what a running agent does'
            'reload:reload the configuration of a running agent'
            'tap:show events as they pass a source, channel or sink of a running agent'
            'loglevel:show the levels of a running agent'\''s loggers, or set one\: LOGGER LEVEL'
            'describe:explain a component or a diagnostic, or list all; `hadoop`\: Hadoop'\''s settings in force'
            'provision:prepare this host for an agent\: configure, install, kerberos, check'
            'doctor:examine this host and say what to do; changes nothing'
            'tool:look into a file channel, or repair it'
            'avro-client:send lines to an avro source'
            'convert:print a configuration with a part rewritten\: exec-to-taildir'
            'version:print the version'
            'help:print this'
        )
        _describe command commands
        return
    fi
    local command=$words[2]
    shift words
    (( CURRENT-- ))
    case $command in
        agent) _arguments -S \
            '--name[the agent'\''s name in the configuration]:name: ' \
            '--conf-file[configuration file; repeatable, later files win]:file:_files' \
            '--conf-uri[configuration at a file\:, http\: or https\: address; --conf-file is then ignored]:uri: ' \
            '--conf[configuration directory]:directory:_files -/' \
            '--conf-user[user for the web server that has the configuration]:user: ' \
            '--conf-password[the user'\''s password; other users of this host can see it, so prefer --password-file]:password: ' \
            '--password-file[a file with the user'\''s password]:file:_files' \
            '--state-dir[where agents keep their control sockets and journals]:directory:_files -/' \
            '--no-reload-conf[do not watch the configuration; SIGHUP still reloads it]' \
            '--poll-interval[how often to look for changes of the configuration (30; with a web server 300)]:seconds: ' \
            '--zkConnString[configuration in the node of ZooKeeper that is named like the agent; files and URIs are then ignored]:host:port,...: ' \
            '--zkBasePath[the node above that node (/flume)]:path: ' \
            '--backup-directory[keep a copy of the last configuration in DIR; an agent that cannot read its configuration starts with the copy]:directory:_files -/' \
            '--dryrun[print the command that would run, and run nothing]' \
            '--auth-provider[a Java class of Flume'\''s, which cannot be loaded]:class: ' \
            '--conf-provider[a Java class of Flume'\''s, which cannot be loaded]:class: ' \
            '--verify-host[accepted; certificates of web servers are always checked]' \
            '--lenient[also start the rest of a flow that has lost a part, as Java Flume does]' \
            '--strict[do not start if the configuration has an error]' \
            '--drain-timeout[how long sinks may drain the channels in memory when the agent stops (10)]:seconds: ' \
            '--help[print this]' \
            '*:file:_files' ;;
        validate) _arguments -S \
            '--conf-file[configuration file; repeatable, later files win]:file:_files' \
            '--conf-uri[configuration at a file\:, http\: or https\: address; --conf-file is then ignored]:uri: ' \
            '--name[the agent'\''s name in the configuration]:name: ' \
            '--format[format of the result; html is one page with a drawing and the files]:value:(text json html sarif)' \
            '--effective[print what Java Flume would keep of the configuration, and why it drops the rest]' \
            '--java[load and configure each Java class in a JVM; nothing is started]' \
            '--conf[configuration directory]:directory:_files -/' \
            '--conf-user[user for the web server that has the configuration]:user: ' \
            '--conf-password[the user'\''s password; other users of this host can see it, so prefer --password-file]:password: ' \
            '--password-file[a file with the user'\''s password]:file:_files' \
            '--help[print this]' \
            '*:file:_files' ;;
        graph) _arguments -S \
            '--conf-file[configuration file; repeatable, later files win]:file:_files' \
            '--conf-uri[configuration at a file\:, http\: or https\: address; --conf-file is then ignored]:uri: ' \
            '--name[the agent'\''s name in the configuration]:name: ' \
            '--format[the language of the drawing (mermaid)]:value:(mermaid dot svg)' \
            '--conf[configuration directory]:directory:_files -/' \
            '--conf-user[user for the web server that has the configuration]:user: ' \
            '--conf-password[the user'\''s password; other users of this host can see it, so prefer --password-file]:password: ' \
            '--password-file[a file with the user'\''s password]:file:_files' \
            '--help[print this]' \
            '*:file:_files' ;;
        test) _arguments -S \
            '--coverage[list the routes that no test took]' \
            '--format[format of the result]:value:(text json junit)' \
            '--conf[configuration directory]:directory:_files -/' \
            '--help[print this]' \
            '*:file:_files' ;;
        status) _arguments -S \
            '--name[the agent'\''s name in the configuration]:name: ' \
            '--format[format of the result]:value:(text json)' \
            '--state-dir[where agents keep their control sockets and journals]:directory:_files -/' \
            '--watch[print it every two seconds, until Ctrl-C]' \
            '--help[print this]' \
            '*:file:_files' ;;
        top) _arguments -S \
            '--name[the agent'\''s name in the configuration]:name: ' \
            '--state-dir[where agents keep their control sockets and journals]:directory:_files -/' \
            '--url[ask this monitoring port instead\: http\://host\:41414]:url: ' \
            '--once[print it once, as plain text]' \
            '--help[print this]' \
            '*:file:_files' ;;
        reload) _arguments -S \
            '--name[the agent'\''s name in the configuration]:name: ' \
            '--state-dir[where agents keep their control sockets and journals]:directory:_files -/' \
            '--dry-run[only print what would change]' \
            '--help[print this]' \
            '*:file:_files' ;;
        tap) _arguments -S \
            '--name[the agent'\''s name in the configuration]:name: ' \
            '--state-dir[where agents keep their control sockets and journals]:directory:_files -/' \
            '--format[format of the events]:value:(text hex json)' \
            '--where[only events with this header; repeatable]:header=value: ' \
            '--limit[end after so many events]:n: ' \
            '--rate[most events in a second; the others are counted (100/s)]:n/s: ' \
            '--bytes[how many bytes of each body and header to show (1024)]:n: ' \
            '--at[received, accepted, put, taken or delivered; repeatable]:passage: ' \
            '--trace[mark events at a source, and show each step of them]' \
            '--help[print this]' \
            '*:file:_files' ;;
        loglevel) _arguments -S \
            '--name[the agent'\''s name in the configuration]:name: ' \
            '--format[format of the result]:value:(text json)' \
            '--state-dir[where agents keep their control sockets and journals]:directory:_files -/' \
            '--help[print this]' \
            '*:file:_files' ;;
        describe) _arguments -S \
            '--all[the whole reference, as Markdown]' \
            '--format[format of a component'\''s page]:value:(text markdown)' \
            '--conf[configuration directory]:directory:_files -/' \
            '--help[print this]' \
            '*:file:_files' ;;
        provision) _arguments -S \
            '--config[the node configuration (default\: the recorded one, else the built-in values)]:file:_files' \
            '--package[install this .deb or .rpm]:file:_files' \
            '--from-self[install without a package, from this program]' \
            '--packaged[for a package'\''s own script, after the package is installed]' \
            '--rotate[change the service'\''s key even if it works]' \
            '--kadmin-password-stdin[read the administrator'\''s password from standard input]' \
            '--local[administer the realm with kadmin.local, on the KDC itself]' \
            '--proxy-user[check that the service may write as this user; repeatable]:user: ' \
            '--dry-run[only print what would change]' \
            '--format[format of the result]:value:(text json)' \
            '--help[print this]' \
            '*:file:_files' ;;
        doctor) _arguments -S \
            '--config[the node configuration (default\: the recorded one, else the built-in values)]:file:_files' \
            '--format[format of the result]:value:(text json)' \
            '--help[print this]' \
            '*:file:_files' ;;
        tool) _arguments -S \
            '--dataDirs[FCINTEGRITYTOOL\: data directories, separated by commas]:dirs: ' \
            '--eventValidator[FCINTEGRITYTOOL\: a Java class, which cannot be loaded]:class: ' \
            '--format[format of the result]:value:(text json)' \
            '--conf[configuration directory]:directory:_files -/' \
            '--help[print this]' \
            '*:file:_files' ;;
        avro-client) _arguments -S \
            '--host[where the source is]:host: ' \
            '--port[its port]:port: ' \
            '--rpcProps[a file of client properties instead\: several hosts, TLS, compression]:file:_files' \
            '--filename[send the lines of this file (default\: standard input)]:file:_files' \
            '--dirname[send the files of this directory, and rename each to .COMPLETED]:directory:_files -/' \
            '--headerFile[properties that become headers of every event]:file:_files' \
            '--checkpoint[record in FILE what was sent, and continue there next time]:file:_files' \
            '--conf[configuration directory]:directory:_files -/' \
            '--help[print this]' \
            '*:file:_files' ;;
        convert) _arguments -S \
            '--conf-file[configuration file; repeatable, later files win]:file:_files' \
            '--help[print this]' \
            '*:file:_files' ;;
        version) _arguments -S \
            '--help[print this]' \
            '*:file:_files' ;;
        help) _arguments -S \
            '--help[print this]' \
            '*:file:_files' ;;
    esac
}
_flume_ng "$@"
