# Generated from the table of commands.
_flume_ng() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W 'agent validate graph test status top reload tap loglevel describe provision doctor tool avro-client convert version help' -- "$current")
        return
    fi
    case $previous in
        -n|--name|-u|--conf-uri|-user|--conf-user|-pwd|--conf-password|-i|--poll-interval|-z|--zkConnString|-p|--zkBasePath|-a|--auth-provider|-prov|--conf-provider|--drain-timeout|--url|--where|--limit|--rate|--bytes|--at|--proxy-user|-l|--dataDirs|-e|--eventValidator|-H|--host|--port) return ;;
        -f|--conf-file|--password-file|--config|--package|-P|--rpcProps|-F|--filename|-R|--headerFile|--checkpoint) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
        -c|--conf|--state-dir|-b|--backup-directory|--dirname) mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
        --format) mapfile -t COMPREPLY < <(compgen -W 'text json html sarif' -- "$current"); return ;;
        --format) mapfile -t COMPREPLY < <(compgen -W 'mermaid dot svg' -- "$current"); return ;;
        --format) mapfile -t COMPREPLY < <(compgen -W 'text json junit' -- "$current"); return ;;
        --format) mapfile -t COMPREPLY < <(compgen -W 'text json' -- "$current"); return ;;
        --format) mapfile -t COMPREPLY < <(compgen -W 'text hex json' -- "$current"); return ;;
        --format) mapfile -t COMPREPLY < <(compgen -W 'text markdown' -- "$current"); return ;;
    esac
    case ${COMP_WORDS[1]} in
        agent) mapfile -t COMPREPLY < <(compgen -W '--name --conf-file --conf-uri --conf --conf-user --conf-password --password-file --state-dir --no-reload-conf --poll-interval --zkConnString --zkBasePath --backup-directory --dryrun --auth-provider --conf-provider --verify-host --lenient --strict --drain-timeout --help' -- "$current") ;;
        validate) mapfile -t COMPREPLY < <(compgen -W '--conf-file --conf-uri --name --format --effective --java --conf --conf-user --conf-password --password-file --help' -- "$current") ;;
        graph) mapfile -t COMPREPLY < <(compgen -W '--conf-file --conf-uri --name --format --conf --conf-user --conf-password --password-file --help' -- "$current") ;;
        test) mapfile -t COMPREPLY < <(compgen -W '--coverage --format --conf --help' -- "$current") ;;
        status) mapfile -t COMPREPLY < <(compgen -W '--name --format --state-dir --watch --help' -- "$current") ;;
        top) mapfile -t COMPREPLY < <(compgen -W '--name --state-dir --url --once --help' -- "$current") ;;
        reload) mapfile -t COMPREPLY < <(compgen -W '--name --state-dir --dry-run --help' -- "$current") ;;
        tap) mapfile -t COMPREPLY < <(compgen -W '--name --state-dir --format --where --limit --rate --bytes --at --trace --help' -- "$current") ;;
        loglevel) mapfile -t COMPREPLY < <(compgen -W '--name --format --state-dir --help' -- "$current") ;;
        describe) mapfile -t COMPREPLY < <(compgen -W '--all --format --conf --help' -- "$current") ;;
        provision) mapfile -t COMPREPLY < <(compgen -W '--config --package --from-self --packaged --rotate --kadmin-password-stdin --local --proxy-user --dry-run --format --help' -- "$current") ;;
        doctor) mapfile -t COMPREPLY < <(compgen -W '--config --format --help' -- "$current") ;;
        tool) mapfile -t COMPREPLY < <(compgen -W '--dataDirs --eventValidator --format --conf --help' -- "$current") ;;
        avro-client) mapfile -t COMPREPLY < <(compgen -W '--host --port --rpcProps --filename --dirname --headerFile --checkpoint --conf --help' -- "$current") ;;
        convert) mapfile -t COMPREPLY < <(compgen -W '--conf-file --help' -- "$current") ;;
        version) mapfile -t COMPREPLY < <(compgen -W '--help' -- "$current") ;;
        help) mapfile -t COMPREPLY < <(compgen -W '--help' -- "$current") ;;
    esac
}
complete -F _flume_ng -o default flume-ng
