# bash completion for weightmark; made by: weightmark help --completion bash
_weightmark_words() {
    words=
    case $1:$prev in
    keygen:--scheme) words='direct diff random partition'; return ;;
    keygen:--carrier) words='mean weights balanced'; return ;;
    train:--schedule) words='paper onecycle cosine constant'; return ;;
    train:--augment) words='none crop-flip reference'; return ;;
    train:--precision) words='f32 bf16'; return ;;
    help:--completion) words='bash zsh fish'; return ;;
    esac
    case $cur in -*) ;; *) return ;; esac
    case $1 in
    keygen) words='--output --model --host --target --bits --scheme --carrier --ones --passphrase-file --force --json --quiet --threads --help' ;;
    key) words='--timestamp-request --timestamp --ca --passphrase-file --force --json --quiet --threads --help' ;;
    train) words='--output --epochs --host --init --teacher --data --key --passphrase-file --batch --lr --schedule --momentum --weight-decay --augment --lambda --kappa --precision --seed --history --checkpoint --checkpoint-seconds --resume --force --json --quiet --threads --help' ;;
    eval) words='--data --batch --json --quiet --threads --help' ;;
    embed) words='--key --output --margin --eq6 --unbalanced --fill-zeros --other-model --lambda --dry-run --passphrase-file --force --json --quiet --threads --help' ;;
    verify) words='--key --map --tensor --any-tensor --only-found --tries --threshold-bits --redraws --original --ca --passphrase-file --json --quiet --threads --help' ;;
    extract) words='--key --tensor --hex --passphrase-file --json --quiet --threads --help' ;;
    inspect) words='--tree --json --quiet --threads --help' ;;
    attack) words='--output --tensor --seed --force --rate --order --json --quiet --threads --help' ;;
    report) words='--output --key --ca --passphrase-file --data --title --note --force --json --quiet --threads --help' ;;
    help) words='--man --completion --json --quiet --threads --help' ;;
    esac
}
_weightmark() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words
    if [ "$COMP_CWORD" -eq 1 ]; then
        words='keygen key train eval embed verify extract inspect attack report help --help --version'
    else
        _weightmark_words "${COMP_WORDS[1]}"
    fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _weightmark weightmark
