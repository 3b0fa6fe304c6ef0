# Sums bench_step's profile by kind of work: "LABEL|MILLISECONDS|SHARE" lines, the largest first, then "ceiling|...": the convolutions' share of the step.
/^step: median/ {
    for (i = 1; i < NF; i++) {
        if ($i == "forward" || $i == "backward" || $i == "sgd") { value = $(i + 1); sub(/,/, "", value); step += value; part[$i] = value }
    }
    kinds["optimizer (SGD with momentum)"] = part["sgd"]
    next
}
$NF == "us" {
    kind = "all else (pooling, last layer, loss, statistics)"
    if ($2 ~ /^Conv/) kind = "convolutions"
    if ($2 ~ /^BatchNorm/) kind = "batch normalisation with ReLU"
    if ($2 == "reorder") kind = "reorders (weights, gradients, where formats meet)"
    if ($2 == "sum") kind = "sums of gradients"
    kinds[kind] += $(NF - 1) / 1000
    inside += $(NF - 1) / 1000
}
END {
    if (!step) exit 1
    kinds["outside the steps (calls, fetching, profile)"] = step - inside - part["sgd"]
    for (kind in kinds) printf "%s|%.1f ms|%.1f %%\n", kind, kinds[kind], 100 * kinds[kind] / step | "sort -t '|' -k 2 -g -r"
    close("sort -t '|' -k 2 -g -r")
    printf "ceiling|%.0f of %.0f ms|%.0f %%\n", kinds["convolutions"], step, 100 * kinds["convolutions"] / step
}
