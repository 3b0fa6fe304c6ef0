#!/bin/sh
# Style, warnings of a second compiler, static analysis, room law, documents. Usage: scripts/lint.sh BUILD-FOLDER
set -eu
build=$1
cd "$(dirname "$0")/.."
sources=$(git ls-files '*.c' '*.h' | grep -v -e _tables\?\.h -e _vectors\.h)
echo "lint: clang-format"
clang-format --dry-run -Werror $sources
echo "lint: room law"
python3 scripts/check-rooms.py
echo "lint: public headers alone, as C and as C++"
for header in include/weightmark/*.h; do
    for standard in c17; do
        echo "#include <weightmark/$(basename "$header")>" | gcc -std=$standard -Wall -Wextra -pedantic -Werror -Iinclude -fsyntax-only -x c -
    done
done
echo "lint: documents"
python3 scripts/check-docs.py
echo "lint: clang, warnings are errors"
cmake=/usr/bin/cmake
[ -x $cmake ] || cmake=cmake
$cmake -S . -B "$build" -G Ninja -DCMAKE_C_COMPILER=clang -DWMK_WERROR=ON -DWMK_TESTS=ON -DWMK_BENCH=ON >/dev/null
$cmake --build "$build" >"$build/log" 2>&1 || { grep -E 'error|warning' "$build/log"; exit 1; }
echo "lint: clang-tidy"
git ls-files 'src/*.c' 'cli/*.c' | xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p "$build" 2>/dev/null >"$build/tidy" || { cat "$build/tidy"; exit 1; }
echo "lint: cppcheck"
cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --suppressions-list=scripts/cppcheck.txt \
    --error-exitcode=1 -j "$(nproc)" -D__x86_64__ -Iinclude -Isrc src cli examples
echo "lint: clean"
