# Completion of lunette's command line for bash.
_lunette() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
    COMPREPLY=()
    if [ "${COMP_WORDS[1]}" = help ] && [ "$COMP_CWORD" -gt 1 ]; then
        case $before in
            --html) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
            *) mapfile -t COMPREPLY < <(compgen -W "--html --names $(lunette help --names 2>/dev/null)" -- "$word") ;;
        esac
        return
    fi
    case $before in
        -s) mapfile -t COMPREPLY < <(compgen -W "stop quit reopen reload" -- "$word") ;;
        -p) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        -c | -e) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        -g) ;;
        *)
            mapfile -t COMPREPLY < <(compgen -W "-? -h -v -V -t -T -w --format=json -q -s -p -e -c -g" -- "$word")
            if [ "$COMP_CWORD" -eq 1 ]; then
                mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "help resty top cache" -- "$word")
            fi
            ;;
    esac
}
complete -o filenames -F _lunette lunette
