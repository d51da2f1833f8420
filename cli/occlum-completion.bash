# bash completion for occlum(1) and copy_bom(1)

_occlum_bom_options="-f --file --root -i --include-dir --dry-run -v --verbose --help"

_occlum() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} verb="" i
  local verbs="new init build run copy_bom bom print gen-image-key status help start exec stop package mount gdb quote verify"
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ ${COMP_WORDS[i]} != -* ]]; then
      verb=${COMP_WORDS[i]}
      break
    fi
  done
  case $previous in
    --sgx-mode) COMPREPLY=($(compgen -W "HW SIM" -- "$current")); return ;;
    --enable-edmm) COMPREPLY=($(compgen -W "Y N" -- "$current")); return ;;
    --init-ra) COMPREPLY=($(compgen -W "grpc_ratls aecs" -- "$current")); return ;;
    --sign-key | --image-key | -f | --file) COMPREPLY=($(compgen -f -- "$current")); return ;;
    --root | -i | --include-dir) COMPREPLY=($(compgen -d -- "$current")); return ;;
  esac
  case $verb in
    "") COMPREPLY=($(compgen -W "$verbs --help --version" -- "$current")) ;;
    new | init) COMPREPLY=($(compgen -W "--init-ra --help" -- "$current") $(compgen -d -- "$current")) ;;
    build) COMPREPLY=($(compgen -W "--sgx-mode --sign-key --enable-edmm -f --force --keep-modes --autodep -v --verbose --help" -- "$current")) ;;
    copy_bom | bom) COMPREPLY=($(compgen -W "$_occlum_bom_options" -- "$current")) ;;
    print) COMPREPLY=($(compgen -W "mrenclave mrsigner --help" -- "$current")) ;;
    gen-image-key) COMPREPLY=($(compgen -f -- "$current")) ;;
    help) COMPREPLY=($(compgen -W "$verbs" -- "$current")) ;;
    run)
      if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "--config-id --config-svn --stats --help" -- "$current"))
      elif [[ -d image ]]; then
        # Paths in the image.
        local path
        while IFS= read -r path; do
          [[ -d $path ]] && path+=/
          COMPREPLY+=("${path#image}")
        done < <(compgen -f -- "image${current:-/}")
        compopt -o nospace 2>/dev/null
      fi
      ;;
  esac
}

_copy_bom() {
  local current=${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=($(compgen -W "$_occlum_bom_options" -- "$current") $(compgen -f -- "$current"))
}

complete -F _occlum occlum
complete -F _copy_bom copy_bom
