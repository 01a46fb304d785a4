#!/bin/sh
# keep_ptxas_report.sh COMPILER ARGUMENTS... -o OBJECT ...: run a compiler that is told `-Xptxas -v`, and keep what ptxas says of
# each kernel's registers in OBJECT.ptxas, for scripts/check_gpu_code.py. Everything else that is said passes.
object=''
previous=''
for argument in "$@"; do
  if [ "$previous" = -o ]; then object=$argument; fi
  previous=$argument
done
"$@" 2>"$object.messages"
status=$?
report='^ptxas info|^ +[0-9]+ bytes stack frame'
grep -E "$report" "$object.messages" >"$object.ptxas"
grep -vE "$report" "$object.messages" >&2
rm -f "$object.messages"
exit $status
