"""Ratios, verdicts and tables."""

from statistics import median

from scenarios import medians

US = "turnstone"
# A server that used less of its core was not the limit: the load was.
BUSY = 0.9


def lines_of(row, details):
    """One line for each target beside turnstone and for each bound on turnstone itself."""
    known = medians(row)
    if US not in known:
        return []
    lines = []
    if "" in row.goals:
        lines.append(line(row, details, "", known[US] / row.goals[""], [], row.goals[""], None))
    for name in known:
        if name != US:
            within = [ours / theirs for ours, theirs in zip(row.values[US], row.values[name]) if theirs > 0]
            ratio = known[US] / known[name] if known[name] > 0 else None
            lines.append(line(row, details, name, ratio, within, row.goals.get(name), known[name]))
    judge(row, lines)
    return lines


def line(row, details, beside, ratio, within, goal, theirs):
    bound = 1.0 if beside == "" else goal
    met = None if goal is None or ratio is None else (ratio <= bound if row.better == "less" else ratio >= bound)
    if goal is not None and ratio is None:
        met = row.better == "less" and medians(row)[US] == 0
    return {
        "scenario": row.scenario, "figure": row.figure, "turnstone": medians(row)[US], "beside": beside,
        "theirs": theirs, "ratio": None if beside == "" else ratio,
        "least": min(within, default=None), "most": max(within, default=None),
        "goal": goal, "better": row.better, "digits": row.digits, "met": met,
        "busy": next((each["busy"] for each in details if each["name"] == US), None),
    }


def judge(row, lines):
    judged = [each for each in lines if each["met"] is not None]
    enough = row.either and any(each["met"] for each in judged)
    for each in lines:
        each["verdict"] = verdict(each, enough)


def verdict(each, enough):
    if each["met"] is None:
        return ""
    if each["met"]:
        return "met"
    if enough:
        return "missed, but the other is met"
    load_was_the_limit = each["better"] == "more" and each["busy"] is not None and each["busy"] < BUSY
    limit = f" (the load was the limit: {100 * each['busy']:.0f} % busy)" if load_was_the_limit else ""
    return "MISSED" + limit


def details_of(told):
    """What each server did: medians of a scenario's last run at one setting."""
    rows = []
    for run in told:
        for target in run.get("targets", []):
            rounds = [each for each in target["rounds"] if "packets_per_second" in each]
            if rounds:
                rows.append({"label": run["label"], "name": target["name"], **medians_of(rounds)})
    return joined(rows)


def joined(rows):
    """Runs of one label and target are rounds of one measurement."""
    groups = {}
    for row in rows:
        groups.setdefault((row["label"], row["name"]), []).append(row)
    return [{"label": label, "name": name,
             **{key: median_or_none([each[key] for each in group]) for key in group[0] if key not in ["label", "name"]}}
            for (label, name), group in groups.items()]


def medians_of(rounds):
    of = lambda value: median_or_none([value(told) for told in rounds])
    return {
        "packets_per_second": of(lambda told: told["packets_per_second"]),
        "loss": of(lambda told: told["loss"]),
        "busy": of(lambda told: ratio(told.get("cpu_seconds"), told["seconds"])),
        "cpu_us": of(lambda told: told.get("cpu_us_per_packet")),
        "p50": of(lambda told: told["delay_us"]["p50"]),
        "p99": of(lambda told: told["delay_us"]["p99"]),
        "p999": of(lambda told: told["delay_us"]["p999"]),
        "rss": of(lambda told: told.get("rss_bytes")),
        "switches": of(lambda told: ratio(1000 * switches(told), told["delivered"])),
    }


def switches(told):
    each = told.get("switches", {})
    return each.get("voluntary", 0) + each.get("involuntary", 0)


def ratio(part, whole):
    return None if part is None or not whole else part / whole


def median_or_none(values):
    known = [value for value in values if value is not None]
    return median(known) if known else None


def text(whole):
    options = whole["options"]
    parts = [
        "; ".join(f"{name} {value}" for name, value in whole["machine"].items()),
        f"Medians of {options['rounds']} rounds of {options['seconds']:g} s that alternate between servers, after "
        f"{options['warm_up']:g} s each that do not count. A ratio is of turnstone's median to the other's; behind it, "
        f"the least and most within a round.",
        *(f"- {name}: {each['question']}; {each['network']}" for name, each in whole["scenarios"].items()),
    ]
    parts[2:] = ["\n".join(parts[2:])]
    parts += [ratios_table(whole), "What each server did:", details_table(whole), *troubles(whole)]
    return "\n\n".join(parts)


def ratios_table(whole):
    head = ["scenario, figure", "turnstone", "beside", "has", "ratio", "in rounds", "goal", ""]
    rows = []
    for scenario in whole["scenarios"].values():
        for each in scenario["lines"]:
            sign = "<=" if each["better"] == "less" else ">="
            goal_digits = each["digits"] if each["beside"] == "" and each["digits"] == 0 else 2
            spread = "" if each["least"] is None else f"{each['least']:.2f}-{each['most']:.2f}"
            rows.append([
                f"{each['scenario']}, {each['figure']}", shown(each["turnstone"], each["digits"]),
                each["beside"].replace("-", " ") or "-", shown(each["theirs"], each["digits"]), shown(each["ratio"], 2),
                spread, "" if each["goal"] is None else f"{sign} {each['goal']:.{goal_digits}f}", each["verdict"]])
    return table(head, rows)


def details_table(whole):
    head = ["scenario, server", "packets/s", "loss %", "busy %", "CPU us/packet", "p50 us", "p99 us", "p99.9 us",
            "RSS MiB", "switches/1000 packets"]
    rows = []
    for name, scenario in whole["scenarios"].items():
        for each in scenario["details"]:
            label = f" ({each['label']})" if each["label"] else ""
            rows.append([
                f"{name}, {each['name']}{label}", shown(each["packets_per_second"], 0), shown(each["loss"], 3, 100),
                shown(each["busy"], 0, 100), shown(each["cpu_us"], 2), shown(each["p50"], 0), shown(each["p99"], 0),
                shown(each["p999"], 0), shown(each["rss"], 1, 1 / 2**20), shown(each["switches"], 1)])
    return table(head, rows)


def troubles(whole):
    lines = [f"FAILED: {failure}" for failure in whole["failures"]] + [f"SKIPPED: {why}" for why in whole["skipped"]]
    return ["\n".join(lines)] if lines else []


def shown(value, digits, times=1):
    return "-" if value is None else f"{times * value:.{digits}f}"


def table(head, rows):
    """Markdown, numbers to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    line = lambda row: "| " + " | ".join(
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths))) + " |"
    dashes = ["-" * (width - 1) + (":" if column else "-") for column, width in enumerate(widths)]
    return "\n".join([line(head), "| " + " | ".join(dashes) + " |", *map(line, rows)])
