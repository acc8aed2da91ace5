"""Medians, ratios and tables."""

from statistics import median

PACES = ["paced", "full"]

# DESIGN's goals: CPU an event as a part of a rival's, and user-space bytes of an idle connection.
GOALS = [("socketioxide", 0.70, "goal"), ("node", 0.45, "goal"), ("floor", 1.15, "aim")]
MEMORY_GOAL_BYTES = 8 * 1024
NAMES = {"floor": "floor", "node": "Node", "socketioxide": "socketioxide"}

# Column of the table, figure of the load, digits.
FIGURES = [
    ("events/s", "per_second", 0),
    ("p50 us", "p50_us", 0),
    ("p99 us", "p99_us", 0),
    ("p99.9 us", "p999_us", 0),
    ("switches", "switches", 2),
    ("preempted", "preempted", 2),
]


def summary(measured, families, options, versions, failures):
    """`measured`: figures of each round, None where it failed, by the name of the target."""
    baselines = {pace: {family: best_of(family, measured, families, pace) for family in NAMES} for pace in PACES}
    return {
        "machine": versions,
        "options": {name: str(value) if name == "turnstone" else value for name, value in options.items()},
        "baselines": baselines,
        "targets": {name: {
            "family": families[name],
            "memory": memory(rounds),
            **{pace: loads(name, measured, pace, baselines[pace]) for pace in PACES},
            "rounds": rounds,
        } for name, rounds in measured.items()},
        "failures": failures,
    }


def best_of(family, measured, families, pace):
    """The target of a family that takes the least CPU for an event, or None."""
    known = [(median(cpus), name) for name, rounds in measured.items()
             if families[name] == family and (cpus := figures(rounds, pace, "cpu_us"))]
    return min(known, default=(None, None))[1]


def figures(rounds, pace, key):
    told = [round[pace][key] for round in rounds if round and pace in round]
    return [value for value in told if value is not None]


def loads(name, measured, pace, baselines):
    rounds = measured[name]
    cpus = figures(rounds, pace, "cpu_us")
    if not cpus:
        return None
    row = {"cpu_us": median(cpus), "cpu_us_least": min(cpus), "cpu_us_most": max(cpus)}
    for family, baseline in baselines.items():
        ratios = ratios_within_rounds(rounds, measured.get(baseline, []), pace)
        row["of_" + family] = median(ratios) if ratios else None
    for key in [key for _, key, _ in FIGURES] + ["cpu_share", "others_share"]:
        row[key] = median(figures(rounds, pace, key))
    for key in ["lost", "skipped", "complaints"]:
        row[key] = sum(figures(rounds, pace, key))
    row["complaint"] = next(iter(figures(rounds, pace, "complaint")), None)
    return row


def ratios_within_rounds(ours, theirs, pace):
    both = [(a[pace], b[pace]) for a, b in zip(ours, theirs) if a and b and pace in a and pace in b]
    return [a["cpu_us"] / b["cpu_us"] for a, b in both]


def memory(rounds):
    told = [round for round in rounds if round]
    if not told:
        return None
    row = {key: median(round["memory"][key] for round in told) for key in told[0]["memory"]}
    row["connect_us"] = median(round["connect_us"] for round in told)
    row["event_bytes"] = told[0]["event_bytes"]
    return row


def text(whole):
    options = whole["options"]
    parts = [
        "; ".join(f"{name} {value}" for name, value in whole["machine"].items()),
        f"{options['sessions']} sessions, candidates of {options['payload']} bytes, medians of {options['rounds']} "
        f"rounds; paced is {options['rate']} events a second for {options['paced']:g} s, full is one event under way "
        f"for each session for {options['full']:g} s.",
        "CPU of the server's process (all threads, user and kernel) for each event that arrived. Where a rival runs "
        "in two ways, ratios are of the better one. Others is how long the server's core worked for somebody else:",
        loads_table(whole),
        "User-space memory of an idle connection; socket buffers are the kernel's and not in it:",
        memory_table(whole),
        *verdicts(whole),
        *troubles(whole),
    ]
    return "\n\n".join(parts)


def loads_table(whole):
    head = ["server, pace", "CPU us/event", "spread", *(f"x {NAMES[family]}" for family in NAMES)]
    rows = []
    for name, target in whole["targets"].items():
        for pace in PACES:
            if row := target[pace]:
                spread = f"{row['cpu_us_least']:.1f}-{row['cpu_us_most']:.1f}"
                ratios = [shown(row["of_" + family], 2) for family in NAMES]
                figures = [shown(row[key], digits) for _, key, digits in FIGURES]
                rows.append([f"{name}, {pace}", shown(row["cpu_us"], 1), spread, *ratios, *figures,
                             shown(100 * row["others_share"], 0)])
    return table(head + [column for column, _, _ in FIGURES] + ["others %"], rows)


def memory_table(whole):
    head = ["server", "resident KiB", "anonymous KiB", "private dirty KiB", "CPU us to connect", "bytes of an event"]
    rows = []
    for name, target in whole["targets"].items():
        if row := target["memory"]:
            kib = [shown(row[key] / 1024, 1) for key in ["resident", "anonymous", "private_dirty"]]
            rows.append([name, *kib, shown(row["connect_us"], 0), shown(row["event_bytes"], 0)])
    return table(head, rows)


def verdicts(whole):
    """One line for each goal and way into Turnstone."""
    lines = []
    for name, target in whole["targets"].items():
        if target["family"] != "turnstone":
            continue
        for pace in PACES:
            for family, most, kind in GOALS:
                if target[pace] and (ratio := target[pace]["of_" + family]) is not None:
                    lines.append(f"{name}, {pace}: {ratio:.2f} x {NAMES[family]}, {kind} <= {most:.2f}: "
                                 + ("met" if ratio <= most else "missed"))
        if target["memory"]:
            each = target["memory"]["anonymous"]
            lines.append(f"{name}: {each / 1024:.1f} KiB an idle connection, goal <= {MEMORY_GOAL_BYTES / 1024:g}: "
                         + ("met" if each <= MEMORY_GOAL_BYTES else "missed"))
    return ["\n".join(lines)] if lines else []


def troubles(whole):
    lines = ["FAILED: " + failure for failure in whole["failures"]]
    for name, target in whole["targets"].items():
        for pace in PACES:
            if row := target[pace]:
                if row["lost"]:
                    lines.append(f"{name}, {pace}: {row['lost']} events lost")
                if row["skipped"]:
                    lines.append(f"{name}, {pace}: {row['skipped']} events left out, because the load was late")
                if row["complaints"]:
                    lines.append(f"{name}, {pace}: {row['complaints']} errors, such as {row['complaint']}")
    return ["\n".join(lines)] if lines else []


def shown(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def table(head, rows):
    """Markdown, numbers to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    line = lambda row: "| " + " | ".join(
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths))) + " |"
    dashes = ["-" * (width - 1) + (":" if column else "-") for column, width in enumerate(widths)]
    rule = "| " + " | ".join(dashes) + " |"
    return "\n".join([line(head), rule, *map(line, rows)])
