#!/usr/bin/env bash
# Fills the corpora with fixtures and past finds; further models may be given:
#   fuzz/seeds.sh [folder with .onnx files]...
set -euo pipefail
cd "$(dirname "$0")/.."
corpus=fuzz/corpus
# Larger files only slow the mutator down.
LARGEST=64k
mkdir -p $corpus/{bytes,graphs,locations,samples,text}

for folder in fixtures "$@"; do
    find "$folder" -name '*.onnx' -size "-$LARGEST" -print0
done | while IFS= read -r -d '' model; do
    cp "$model" "$corpus/bytes/$(cksum < "$model" | cut -d' ' -f1).onnx"
done

cp tests/it/everything.txt $corpus/text/everything
# The models of the pass tests, each block a file.
awk -v to=$corpus/text/ '
    /^```onnx/ { n += 1; on = 1; next }
    /^```/ { close(to "case" n); on = 0 }
    on { print > (to "case" n) }
' tests/passes/*.md

# The last 16 bytes of a case choose how a file is read (see tests/it/fuzz/bodies/samples.rs).
for file in fixtures/*.npz; do
    for tail in 0 1 2; do
        { cat "$file"; printf "%0.s\\$tail" {1..16}; } > "$corpus/samples/$(basename "$file").$tail"
    done
done

# Choices of graphs are noise; what matters is that there are enough of them.
for seed in {1..64}; do
    awk -v seed="$seed" 'BEGIN { srand(seed); while (i++ < 400) printf "%c", 1 + int(rand() * 254) }' \
        | LC_ALL=C head -c 400 > "$corpus/graphs/noise$seed"
done

if [ -d fixtures/fuzz ]; then
    for folder in fixtures/fuzz/*/; do
        cp "$folder"/* "$corpus/$(basename "$folder")/"
    done
fi

# Words for the mutator: operators (field 4 of a node) and attributes (field 1) as in a message, with
# key and length,
# and bare for text, with the words of the text syntax.
awk -F'\t' '
    function quoted(word) { return "\"" word "\"" }
    function field(key, word) { return sprintf("\"\\x%02x\\x%02x%s\"", key, length(word), word) }
    /^[#@]/ { next }
    { operators[$1] = 1; n = split($6, parts, " ") }
    { for (i = 1; i <= n; i++) { sub(/!?:.*/, "", parts[i]); attributes[parts[i]] = 1 } }
    END {
        for (word in operators) {
            print field(34, word) > "fuzz/corpus/bytes.dict"
            print quoted(word) > "fuzz/corpus/text.dict"
        }
        for (word in attributes) {
            print field(10, word) > "fuzz/corpus/bytes.dict"
            print quoted(word) > "fuzz/corpus/text.dict"
        }
    }
' src/ir/schema/operators.txt
for word in '=>' '<' '>' '{' '}' '@' '...' 'seq(' 'map(' 'optional(' 'sparse_tensor(' 'inf' '-nan' \
    'float[' 'int64[' 'float16' 'uint4' 'complex64' 'bool' 'string' ': ints = []' 'ir_version' \
    'opset_import' 'doc_string' 'metadata_props' '\\x00' '1e39' '9223372036854775808'; do
    printf '"%s"\n' "$word" >> $corpus/text.dict
done
