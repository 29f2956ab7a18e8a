#!/usr/bin/env python3
"""Reads exports with independent readers (PyPI prov, rdflib, csv) and compares them with the Session JSON, as Format/export.md says.

    exports.py DIR      for each DIR/ID.json, the Session JSON, its exports ID.prov-json, ID.prov-n, ID.turtle, ID.jsonld, ID.csv and ID.jsonl

Prints what differs, and as its last line the counts as JSON. Exit code 1 if anything differs.
"""
import collections
import csv
import json
import logging
import os
import re
import sys
from datetime import datetime, timezone

import prov.model
import rdflib
from rdflib.namespace import RDF, RDFS, XSD

PROV = rdflib.Namespace("http://www.w3.org/ns/prov#")
CKPROV = rdflib.Namespace("urn:ckprov-log:")
COLUMNS = ("session_id seq generated_at action_type outcome kernel via_edge attempt urn note diff_summary intent evidence before_state after_state").split()
csv.field_size_limit(1 << 30)
rdflib.NORMALIZE_LITERALS = False
logging.getLogger("rdflib").setLevel(logging.ERROR)


def text(value):
    """Lone surrogates become U+FFFD."""
    return "".join("\N{REPLACEMENT CHARACTER}" if "\ud800" <= c <= "\udfff" else c for c in value)


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def kernel_iri(urn):
    if re.fullmatch(r"ckp://Kernel#[A-Za-z0-9_]([A-Za-z0-9_.:-]*[A-Za-z0-9_])?", urn):
        return urn
    return "urn:ckprov-log:kernel-" + "".join(chr(b) if chr(b).isascii() and (chr(b).isalnum() or b == 0x5F) else "%%%02X" % b for b in urn.encode("utf-8", "surrogatepass"))


def expected_graph(session):
    """Its triples: literals as (lexical form, datatype)."""
    milliseconds = session["urn"].rpartition("/session-")[2] if "/session-" in session["urn"] else 0
    base = f"urn:ckprov-log:session:{session['session_id']}:{milliseconds}:"
    graph = set()

    def add(subject, predicate, value, datatype=XSD.string):
        graph.add((subject, str(predicate), (text(value), str(datatype)) if datatype else value))

    def describe(name, kind, type_name):
        add(name, RDF.type, str(PROV[kind]), None)
        add(name, RDF.type, str(type_name), None)

    def agent(urn):
        describe(kernel_iri(urn), "Agent", PROV.SoftwareAgent)
        add(kernel_iri(urn), CKPROV.urn, urn)
        return kernel_iri(urn)

    me = base + "session"
    describe(me, "Activity", CKPROV.Session)
    add(me, PROV.startedAtTime, session["started_at"], XSD.dateTime)
    if session.get("ended_at"):
        add(me, PROV.endedAtTime, session["ended_at"], XSD.dateTime)
        add(me, CKPROV.durationMs, str(session["duration_ms"]), XSD.long)
    for predicate, key in ((RDFS.label, "label"), (CKPROV.urn, "urn"), (CKPROV.sessionId, "session_id"), (CKPROV.kernelAction, "kernel_action"),
                           (CKPROV.outcome, "outcome")):
        add(me, predicate, session[key])
    add(me, PROV.wasAssociatedWith, agent(session["was_associated_with"]), None)
    for action in session["actions"]:
        name = f"{base}action-{action['seq']}"
        describe(name, "Activity", CKPROV.Action)
        add(name, PROV.endedAtTime, action["generated_at"], XSD.dateTime)
        for predicate, key in ((RDFS.label, "action_type"), (CKPROV.urn, "urn"), (CKPROV.outcome, "outcome")):
            add(name, predicate, action[key])
        for predicate, key in ((CKPROV.viaEdge, "via_edge"), (CKPROV.diffSummary, "diff_summary"), (CKPROV.note, "note")):
            if action.get(key) is not None and (key != "note" or action[key]):
                add(name, predicate, action[key])
        for key in ("seq", "attempt"):
            add(name, CKPROV[key], str(action[key]), XSD.long)
        for key in ("intent", "evidence"):
            if key in action:
                add(name, CKPROV[key], compact(action[key]))
        add(name, PROV.wasAssociatedWith, agent(action["kernel"]), None)
        add(name, PROV.wasInformedBy, me, None)
        for key, local in (("before_state", "before"), ("after_state", "after")):
            if key not in action:
                continue
            state = f"{base}{local}-{action['seq']}"
            describe(state, "Entity", CKPROV.State)
            add(state, PROV.value, compact(action[key]))
            if local == "before":
                add(name, PROV.used, state, None)
            else:
                add(state, PROV.wasGeneratedBy, name, None)
                add(state, PROV.generatedAtTime, action["generated_at"], XSD.dateTime)
    return graph


def triples(graph):
    def form(value):
        if isinstance(value, rdflib.Literal):
            return (str(value), str(value.datatype or XSD.string))
        assert isinstance(value, rdflib.URIRef), value
        return str(value)
    return {(form(s), form(p), form(o)) for s, p, o in graph}


def counts_of(document):
    names = collections.Counter(type(record).__name__ for record in document.get_records())
    return {short: names[long] for short, long in (
        ("activity", "ProvActivity"), ("agent", "ProvAgent"), ("entity", "ProvEntity"), ("used", "ProvUsage"), ("wasGeneratedBy", "ProvGeneration"),
        ("wasAssociatedWith", "ProvAssociation"), ("wasInformedBy", "ProvCommunication"))}


def expected_counts(session):
    actions = session["actions"]
    before, after = (sum(key in action for action in actions) for key in ("before_state", "after_state"))
    kernels = {kernel_iri(urn) for urn in [session["was_associated_with"]] + [action["kernel"] for action in actions]}
    return {"activity": 1 + len(actions), "agent": len(kernels), "entity": before + after, "used": before, "wasGeneratedBy": after,
            "wasAssociatedWith": 1 + len(actions), "wasInformedBy": len(actions)}


def values_of(document):
    """Every attribute and formal argument, without the ids of relations."""
    return collections.Counter(
        (type(record).__name__, str(record.identifier) if record.is_element() else "", tuple(sorted((str(k.uri), repr(v)) for k, v in record.attributes)))
        for record in document.get_records())


def graph_of(document):
    """The triples that Format/export.md gives for what prov has read: its own names for them, turned into those of PROV-O."""
    graph = set()
    names = {"label": str(RDFS.label), "type": str(RDF.type), "startTime": str(PROV.startedAtTime), "endTime": str(PROV.endedAtTime)}
    relations = {"ProvUsage": ("activity", "used", "entity"), "ProvGeneration": ("entity", "wasGeneratedBy", "activity"),
                 "ProvAssociation": ("activity", "wasAssociatedWith", "agent"), "ProvCommunication": ("informed", "wasInformedBy", "informant")}

    def form(value):
        if isinstance(value, prov.model.Literal):
            return (value.value, str(value.datatype.uri))
        if isinstance(value, prov.identifier.QualifiedName):
            return value.uri
        if isinstance(value, datetime):
            return (value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), str(XSD.dateTime))
        if isinstance(value, int):
            return (str(value), str(XSD.long))
        return (value, str(XSD.string))

    for record in document.get_records():
        kind = type(record).__name__
        if kind in relations:
            subject, predicate, other = relations[kind]
            arguments = {key.localpart: value for key, value in record.attributes}
            graph.add((arguments[subject].uri, str(PROV[predicate]), arguments[other].uri))
            if "time" in arguments:
                graph.add((arguments[subject].uri, str(PROV.generatedAtTime), form(arguments["time"])))
            continue
        graph.add((record.identifier.uri, str(RDF.type), str(PROV[kind.removeprefix("Prov")])))
        for key, value in record.attributes:
            graph.add((record.identifier.uri, names.get(key.localpart, key.uri) if key.namespace.prefix == "prov" else key.uri, form(value)))
    return graph


def check(path):
    with open(path + ".json", "rb") as file:
        session = json.loads(file.read())
    problems = []

    def compare(what, found, wanted):
        if found != wanted:
            differs = [*list(found - wanted)[:2], "instead of", *list(wanted - found)[:2]] if isinstance(found, set) else [found, "instead of", wanted]
            problems.append(f"{what}: {differs}")

    counts, graph = expected_counts(session), expected_graph(session)
    documents = {}
    for form, reader in (("prov-json", "json"), ("prov-n", "provn")):
        document = documents[form] = prov.model.ProvDocument.deserialize(path + "." + form, format=reader)
        compare(form + " counts", counts_of(document), counts)
        compare(form + " graph", graph_of(document), graph)
        again = prov.model.ProvDocument.deserialize(content=document.serialize(format=reader), format=reader)
        compare(form + " round trip", values_of(again), values_of(document))
    compare("prov-json and prov-n", values_of(documents["prov-json"]), values_of(documents["prov-n"]))
    for form, reader in (("turtle", "turtle"), ("jsonld", "json-ld")):
        compare(form + " graph", triples(rdflib.Graph().parse(path + "." + form, format=reader)), graph)

    with open(path + ".jsonl", "rb") as file:
        lines = [json.loads(line) for line in file.read().split(b"\n")[:-1]]
    compare("jsonl", [compact(line) for line in lines], [compact(action) for action in session["actions"]])
    with open(path + ".csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))

    def cell(value):
        return "" if value is None else text(value) if isinstance(value, str) else compact(value)
    compare("csv", rows, [COLUMNS] + [[cell({**action, "session_id": session["session_id"]}.get(name)) for name in COLUMNS] for action in session["actions"]])
    return counts, problems


def main(directory):
    total, sessions, failed = collections.Counter(), 0, False
    for name in sorted(os.listdir(directory)):
        if name.endswith(".json"):
            counts, problems = check(os.path.join(directory, name.removesuffix(".json")))
            sessions += 1
            total.update(counts)
            for problem in problems:
                failed = True
                print(ascii(f"{name}: {problem}"[:2000]))
    print(json.dumps({"sessions": sessions, **total}))
    return failed


sys.exit(main(sys.argv[1]))
