"""Fuzz targets for data of clients and of programs with internet access: names, cursors, JSON, hosts, DNS questions."""

import asyncio
import ipaddress
import json
import os
import re
import tempfile
from dataclasses import asdict
from pathlib import Path
from urllib.parse import unquote

import dns.message

from agentcontainer import db
from agentcontainer.api.http import paging, request, strict_json
from agentcontainer.api.http.file_bytes import disposition
from agentcontainer.egress import Rule, parse, rule_for
from agentcontainer.errors import ValidationError
from agentcontainer.filenames import filename_fault
from agentcontainer.sandbox.contract import RefusedHost
from agentcontainer.sandbox.egress.refusals import Refusals
from agentcontainer.sandbox.egress.resolver import STAND_IN_NETWORK, AllowListAnswers, StandInAddresses, read
from tests.fuzz.target import Target

DISPOSITION = re.compile(
    r"attachment; filename=\"[ !#-$&-\[\]-~]*\"; filename\*=UTF-8''([A-Za-z0-9!#$&+.^_`|~%-]*)"
)


def file_name(data: bytes) -> None:
    name = data.decode(errors="surrogateescape")
    if filename_fault(name) is not None:
        return
    with tempfile.TemporaryDirectory(prefix="ac-fuzz-", dir="/tmp") as folder:
        (Path(folder) / name).write_bytes(b"")
        assert os.listdir(folder) == [name]
    match = DISPOSITION.fullmatch(disposition("attachment", name))
    assert match is not None
    assert len(unquote(match[1], errors="strict")) == len(name)


def cursor(data: bytes) -> None:
    query = paging.PageQuery.model_construct(cursor=data.decode("latin-1"))
    for read_it in (paging.position, paging.sequence):
        try:
            position = read_it("files", query)
        except ValidationError:
            continue
        assert re.fullmatch("[0-9A-Za-z_]+", str(position))
        info = paging.page_info("files", db.Page([position], has_more=True), str)
        assert info.next_cursor is not None
        assert paging.position("files", paging.PageQuery.model_construct(cursor=info.next_cursor)) == str(
            position
        )


def query_string(data: bytes) -> None:
    try:
        fields = request.parse_form(data, "query")
    except ValidationError:
        return
    assert db.storable(fields) == fields


def json_body(data: bytes) -> None:
    try:
        document = strict_json.parse(data)
    except ValidationError:
        return
    assert db.storable(document) == document
    assert strict_json.parse(json.dumps(document).encode()) == document


def egress_rule(data: bytes) -> None:
    text = data.decode("latin-1")
    try:
        rule = Rule.of(text)
    except ValueError:
        return
    spelt = rule_for("*." * rule.is_wildcard + rule.host, rule.port)
    assert parse([spelt, text]) == [rule, rule]
    assert rule.matches_name("x." + rule.host) == rule.is_wildcard
    assert rule.matches_name(rule.host) != rule.is_wildcard
    assert not rule.matches_name("x" + rule.host)
    assert not rule.matches_name(rule.host + ".evil.example")


def dns_question(data: bytes) -> None:
    question = read(data)
    if question is None:
        return
    refused: list[RefusedHost] = []
    server = AllowListAnswers(
        parse(["pypi.org:443", "*.github.com"]), StandInAddresses(), Refusals(refused.append)
    )
    reply = asyncio.run(server.answer(question))
    answered = dns.message.from_wire(reply.to_wire())
    assert answered.id == question.id
    records = [record.to_text() for rrset in answered.answer for record in rrset]
    assert all(ipaddress.ip_address(record) in STAND_IN_NETWORK for record in records)
    assert json.dumps([asdict(host) for host in refused]).isascii()


QUESTIONS = (("pypi.org", "A", 0), ("a.github.com", "AAAA", -1), ("evil.example", "TXT", 0), (".", "ANY", -1))

TARGETS = (
    Target(
        "file-names",
        file_name,
        (b"report.pdf", "été \u202e履歴.pdf".encode(), b"a\"b'%;.txt", b"..", b"a/b", b"-rf"),
    ),
    Target("cursors", cursor, (b"ZmlsZXM6ZmlsZV8wMQ", b"ZmlsZXM6MTI", b"ZXZlbnRzOjEy", b"====")),
    Target("query-strings", query_string, (b"limit=20&order=asc&metadata.a=b%20c", b"a=%ff&a=%00")),
    Target(
        "json-bodies",
        json_body,
        (b'{"a":[1,-2.5e3,"\\u00e9",{"b":null}],"c":true}', b'{"a":1,"a":2}', b'["\\ud83d\\ude00"]'),
    ),
    Target(
        "egress-entries",
        egress_rule,
        (b"pypi.org:443", b"*.github.com", b"192.0.2.1:80", b"xn--bcher-kva.example."),
    ),
    Target(
        "dns-questions",
        dns_question,
        tuple(dns.message.make_query(name, kind, use_edns=edns).to_wire() for name, kind, edns in QUESTIONS),
    ),
)
