"""The part of JSON Schema that rules/openapi uses: is a value what a schema says, what would be, and
what would not. Answers are read strictly: a field that is not described is wrong."""
import datetime
import json
import re


class Document:
    def __init__(self, text):
        self.all = json.loads(text)
        self.schemas = self.all["components"]["schemas"]

    def operations(self):
        for path, methods in self.all["paths"].items():
            for method, op in methods.items():
                yield method.upper(), path, op

    def follow(self, thing):
        """What a $ref stands for; the thing itself without one."""
        while "$ref" in thing:
            at = self.all
            for part in thing["$ref"].removeprefix("#/").split("/"):
                at = at[part]
            thing = at
        return thing

    def body(self, op):
        """The schema of its JSON body; None: it takes none."""
        content = op.get("requestBody", {}).get("content", {})
        found = content.get("application/json")
        return self.follow(found["schema"]) if found else None

    # -- is it? -----------------------------------------------------------------------------
    def wrong(self, schema, value, strict=False, at="$"):
        """What is wrong with the value; None: nothing."""
        schema = self.follow(schema)
        if "anyOf" in schema:
            all_wrong = [self.wrong(s, value, strict, at) for s in schema["anyOf"]]
            return None if None in all_wrong else " and ".join(all_wrong)
        if "const" in schema and value != schema["const"]:
            return f"{at}: {value!r} is not {schema['const']!r}"
        types = schema.get("type", [])
        types = [types] if isinstance(types, str) else types
        if types and not any(is_type(value, t) for t in types):
            return f"{at}: {value!r:.80} is none of {types}"
        if "enum" in schema and value not in schema["enum"]:
            return f"{at}: {value!r:.80} is none of {schema['enum']}"
        if isinstance(value, dict):
            return self.wrong_object(schema, value, strict, at)
        if isinstance(value, list):
            if len(value) > schema.get("maxItems", len(value)):
                return f"{at}: {len(value)} entries"
            wrong = (self.wrong(schema.get("items", {}), v, strict, f"{at}[{i}]")
                     for i, v in enumerate(value))
            return next((w for w in wrong if w), None)
        return wrong_scalar(schema, value, at)

    def wrong_object(self, schema, value, strict, at):
        properties = schema.get("properties", {})
        for name in schema.get("required", []):
            if name not in value:
                return f"{at}: no {name}"
        more = schema.get("additionalProperties", not (strict and properties))
        for name, v in value.items():
            if name not in properties and more is False:
                return f"{at}: {name} is not described"
            one = properties.get(name, more if isinstance(more, dict) else {})
            wrong = self.wrong(one, v, strict, f"{at}.{name}")
            if wrong:
                return wrong
        return None

    # -- what would be ----------------------------------------------------------------------
    def valid(self, schema, rng, name=""):
        """A value that the schema takes, and that is more than null."""
        schema = self.follow(schema)
        if "anyOf" in schema:
            some = [s for s in schema["anyOf"] if s.get("type") != "null"]
            return self.valid(rng.choice(some), rng, name)
        if "enum" in schema:
            return rng.choice([v for v in schema["enum"] if v is not None])
        types = schema.get("type", "string")
        kind = types if isinstance(types, str) else types[0]
        if kind == "object":
            return {k: self.valid(schema["properties"][k], rng, k)
                    for k in schema.get("required", [])}
        if kind == "array":
            return [self.valid(schema["items"], rng, name)]
        low = schema.get("minimum", 0)
        high = schema.get("maximum", low + 100)
        if kind == "integer":
            return rng.choice([low, high, rng.randint(low, high)])
        if kind == "number":
            return rng.uniform(low, high)
        if kind == "string" and "pattern" in schema:
            return str(rng.randint(1, 9))
        return rng.random() < 0.5 if kind == "boolean" else f"{name}-{rng.randint(1, 999)}"

    # -- what would not ---------------------------------------------------------------------
    def bad_values(self, schema):
        """Values that the schema refuses: of other types, out of its bounds, too long."""
        resolved = self.follow(schema)
        parts = [self.follow(s) for s in resolved.get("anyOf", [resolved])]
        tried = [{"x": 1}, [[]], [{}], True, 12.5, -1, "\u0001", "no such word", None]
        for part in parts:
            if "maximum" in part:
                tried += [part["maximum"] + 1, str(part["maximum"] + 1)]
            if "minimum" in part:
                tried.append(part["minimum"] - 1)
            if part.get("maxLength", 1 << 20) < 1 << 20:
                tried.append("x" * (part["maxLength"] + 1))
        return [v for v in tried if self.wrong(schema, v)]


def is_type(value, kind):
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    kinds = {"string": str, "boolean": bool, "object": dict, "array": list, "null": type(None)}
    return isinstance(value, kinds[kind])


def wrong_scalar(schema, value, at):
    if isinstance(value, str):
        if len(value.encode(errors="surrogatepass")) > schema.get("maxLength", 1 << 30):
            return f"{at}: over {schema['maxLength']} bytes"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            return f"{at}: {value!r:.80} does not look like {schema['pattern']}"
        if schema.get("format") == "date-time" and not is_time(value):
            return f"{at}: {value!r:.80} is no time"
    elif is_type(value, "number"):
        if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            return f"{at}: {value} is out of bounds"
    return None


def is_time(text):
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        return False
    return len(text) >= 20
