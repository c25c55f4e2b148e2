# Completion of om in bash: source it, or put it into /usr/share/bash-completion/completions/om
_om() {
    local cur line IFS=$'\n'
    # `:` and `=` end a word for readline, not for om.
    if declare -F _get_comp_words_by_ref >/dev/null; then
        local words cword
        _get_comp_words_by_ref -n ':=#' cur words cword
    else
        local words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
        cur=${COMP_WORDS[COMP_CWORD]}
    fi
    COMPREPLY=()
    while read -r line; do
        case $line in
            :files) compopt -o default 2>/dev/null; return ;;
            *) COMPREPLY+=("${line%%$'\t'*}") ;;
        esac
    done < <(om __complete -- "${words[@]:1:cword}" 2>/dev/null)
    if declare -F __ltrim_colon_completions >/dev/null; then
        __ltrim_colon_completions "$cur"
    fi
}
complete -F _om om
