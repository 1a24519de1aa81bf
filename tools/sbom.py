#!/usr/bin/env python3
"""Prints what `corten` is made of as a CycloneDX 1.5 document, from `cargo metadata`: the crates that are resolved for the
program on this machine's target, those that only run while it is built marked as excluded. Python's standard library suffices."""

import json
import subprocess


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], check=True, capture_output=True, text=True).stdout


def names(edges):
    lines = cargo("tree", "--package", "corten", "--edges", edges, "--prefix", "none", "--locked").splitlines()
    return {tuple(line.split(" ")[:2]) for line in lines if line}


metadata = json.loads(cargo("metadata", "--format-version", "1", "--locked"))
linked, needed = names("normal,no-proc-macro"), names("normal,build")
components, program = [], None
for package in metadata["packages"]:
    key = (package["name"], "v" + package["version"])
    entry = {
        "type": "library",
        "name": package["name"],
        "version": package["version"],
        "purl": f"pkg:cargo/{package['name']}@{package['version']}",
        "licenses": [{"expression": (package["license"] or "NOASSERTION").replace("/", " OR ").replace("  ", " ")}],
        "scope": "required" if key in linked else "excluded",
    }
    if package["name"] == "corten":
        program = {**entry, "type": "application"}
        del program["scope"]
    elif key in linked | needed:
        components.append(entry)

document = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "version": 1,
    "metadata": {"component": program},
    "components": sorted(components, key=lambda entry: (entry["name"], entry["version"])),
}
print(json.dumps(document, indent=2))
