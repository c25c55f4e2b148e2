# Completion of om in bash: source it, or put it into /usr/share/bash-completion/completions/om
_om() {
    local cur line head IFS=$'\n'
    # `:` and `=` end a word for readline, not for om.
    if declare -F _get_comp_words_by_ref >/dev/null; then
        local words cword
        _get_comp_words_by_ref -n ':=#' cur words cword
    else
        local words cword
        IFS=' ' read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
        [[ ${COMP_LINE:0:COMP_POINT} == *' ' ]] && words+=('')
        cword=$((${#words[@]} - 1))
        cur=${words[cword]}
    fi
    COMPREPLY=()
    while read -r line; do
        case $line in
            :files) compopt -o default 2>/dev/null; return ;;
            *) COMPREPLY+=("${line%%$'\t'*}") ;;
        esac
    done < <(om __complete -- "${words[@]:1:cword}" 2>/dev/null)
    # A keyword goes on with its value, a section with its keywords.
    [[ ${COMPREPLY[0]-} == *[=.#] ]] && compopt -o nospace 2>/dev/null
    # Readline replaces what stands behind the last of these.
    head=${cur%"${cur##*[=:]}"}
    COMPREPLY=("${COMPREPLY[@]#"$head"}")
}
complete -F _om om
