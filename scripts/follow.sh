# Sourced: follow WHAT LOG COMMAND… runs a command with its output in LOG, and says meanwhile how far it is: on a terminal one
# line, written anew each second; elsewhere, as in a CI log, a line every 20 s (TATR_FOLLOW_S: other seconds). The step of the
# last "[12/231]" (ninja) or "[ 45%]" (make) in the log tells the time that is left, as if all steps were alike. Ends as the command
# does.

follow_words() {  # WHAT LOG SECONDS
  local step done=0 of=0 left=
  step=$(grep -aoE '^\[[ 0-9]+(/[0-9]+\]|%\])' "$2" 2>/dev/null | tail -n 1 | tr -d '[] ') || true
  case $step in
    */*) done=${step%/*} of=${step#*/} ;;
    *%) done=${step%\%} of=100 ;;
  esac
  if [ "$done" -gt 0 ] && [ "$3" -ge 5 ]; then
    left=$(($3 * (of - done) / done))
    if [ "$left" -lt 100 ]; then left=", about $left s left"; else left=", about $(((left + 30) / 60)) min left"; fi
  fi
  echo "$1: $3 s${step:+, $step}$left"
}

follow() {
  local what=$1 log=$2 pid start=$SECONDS every=${TATR_FOLLOW_S:-20} last=0 status=0
  shift 2
  "$@" >"$log" 2>&1 &
  pid=$!
  trap "kill $pid 2>/dev/null; exit 130" INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    if [ -t 2 ]; then
      printf '\r\033[K%s' "$(follow_words "$what" "$log" $((SECONDS - start)))" >&2
    elif [ $((SECONDS - start - last)) -ge "$every" ]; then
      last=$((SECONDS - start))
      follow_words "$what" "$log" "$last" >&2
    fi
    sleep 1 &
    wait -n "$pid" "$!" || true  # whichever ends first: no second is lost at the end
  done
  wait "$pid" || status=$?
  trap - INT TERM
  if [ -t 2 ]; then printf '\r\033[K' >&2; fi
  return "$status"
}
