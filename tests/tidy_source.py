# SPDX-License-Identifier: BSL-1.0
"""What tidy.py needs to know about C++ text: it without comments and literals, and where its
functions are. It is no parser: it counts braces, and is right for code that clang-format made."""
import re

TOKEN = re.compile(r"""//[^\n]* | /\*.*?\*/ | R"(\w*)\((?:.*?)\)\1" | "(?:\\.|[^"\\\n])*"
                       | (?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'""", re.S | re.X)


def strip(text):
    """The code with comments and literals blanked, line by line where it was."""
    def blank(match):
        token = match[0]
        if token.startswith("/"):
            return re.sub(r"[^\n]", " ", token)
        return '""' + "\n" * token.count("\n") if token[0] in '"R' else "' '"
    return TOKEN.sub(blank, text)


def kind_of(head, inside):
    """What the brace after `head` opens, if it stands within something of kind `inside`."""
    if inside in ("function", "block", "init"):
        return "block"
    if re.search(r"\b(namespace|extern)\b", head):
        return "space"
    if re.search(r"\bconcept\b|\benum\b", head):
        return "block"
    plain = re.sub(r"alignas\s*\([^)]*\)|\[\[.*?\]\]", "", head, flags=re.S)
    if re.match(r"\s*(template\s*<.*?>\s*(requires\s.*?)?)?(class|struct|union)\s+\w", plain, re.S):
        return "space"
    if re.search(r"\)[^()]*(?<!:):(?!:).*[\w>]\s*$", plain, re.S):
        return "init"  # of a member, in front of a constructor's body
    return "function" if "(" in plain else "block"


def functions(code):
    """(head, first line, last line) of every function body in stripped code."""
    code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: "\n" * m[0].count("\n"), code, flags=re.M)
    stack = [("space", "", 0)]
    head_from = 0
    for match in re.finditer(r"[{};]", code):
        at = match.start()
        if match[0] == "{":
            head = code[head_from:at]
            kind = kind_of(head, stack[-1][0])
            first = head_from + len(head) - len(head.lstrip())
            stack.append((kind, " ".join(head.split())[:60], first))
        elif match[0] == "}" and len(stack) > 1:
            kind, head, first = stack.pop()
            if kind == "function":
                yield head, code.count("\n", 0, first) + 1, code.count("\n", 0, at) + 1
            if kind == "init":
                head_from = first
                continue
        head_from = match.end()
