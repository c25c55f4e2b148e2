# Completion of om in fish: put it as om.fish into ~/.config/fish/completions
function __om_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found (om __complete -- $words[2..-1] 2>/dev/null)
    if contains -- :files $found
        __fish_complete_path (commandline -ct)
    else
        printf '%s\n' $found
    end
end
complete -c om -f -a '(__om_complete)'
