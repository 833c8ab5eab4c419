# What scripts of agents are made of: pipes, jobs, here-documents, process
# substitution, job control, temporary files.
set -euo pipefail
seq 1 100 | grep -c 7 | sed 's/^/pipe /'
cat <<END
here $((6 * 7))
END
diff <(printf 'a\nb\n') <(printf 'a\nc\n') | tail -n 1 || true # they differ
cat <<<"string" | tee >(cat >"$TMPDIR/substituted") >/dev/null
set -m
(exit 3) & job=$!
wait "$job" || echo "job $?"
mkfifo "$TMPDIR/fifo"
echo "through a fifo" >"$TMPDIR/fifo" &
cat "$TMPDIR/fifo"
wait
file=$(mktemp)
case $file in "$TMPDIR"/*) echo "mktemp in TMPDIR" ;; *) echo "mktemp made $file" ;; esac
coproc CAT { cat; }
echo "coprocess" >&"${CAT[1]}"
read -r line <&"${CAT[0]}"
echo "$line"
id -u >/dev/null && getent hosts localhost >/dev/null && echo "done in $(basename "$PWD")"
