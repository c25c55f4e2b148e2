#compdef om
# Completion of om in zsh: put it as _om into a folder of $fpath, or: source <(om completion zsh)
_om() {
    local line word
    local -a found open
    while IFS= read -r line; do
        word="${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}"
        case $line in
            :files) _files; return ;;
            # A keyword goes on with its value, a section with its keywords.
            *[=.\#]$'\t'*) open+=($word) ;;
            *) found+=($word) ;;
        esac
    done < <(om __complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)
    _describe om found -- open -S ''
}
if [ "$funcstack[1]" = _om ]; then _om "$@"; else compdef _om om; fi
