#compdef om
# Completion of om in zsh: put it as _om into a folder of $fpath, or: source <(om completion zsh)
_om() {
    local line
    local -a found
    while IFS= read -r line; do
        case $line in
            :files) _files; return ;;
            *) found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
        esac
    done < <(om __complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)
    _describe om found
}
if [ "$funcstack[1]" = _om ]; then _om "$@"; else compdef _om om; fi
