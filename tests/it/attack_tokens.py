"""Forged and broken tokens by number: S-219 to S-262. name -> token (text or bytes)."""

import base64
import hashlib
import hmac
import json
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

SECRET = b"a secret of more than thirty-two bytes"
RSA, OTHER_RSA = (rsa.generate_private_key(65537, 2048) for _ in range(2))
P256, P384 = (ec.generate_private_key(curve) for curve in (ec.SECP256R1(), ec.SECP384R1()))
ED = ed25519.Ed25519PrivateKey.generate()
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, size):
    return value.to_bytes(size, "big")


def jwks():
    """The issuer's public keys."""
    modulus = RSA.public_key().public_numbers().n
    point = P256.public_key().public_numbers()
    raw = ED.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return {"keys": [
        {"kty": "RSA", "kid": "r", "alg": "RS256", "use": "sig", "e": "AQAB",
         "n": b64(number(modulus, 256))},
        {"kty": "EC", "crv": "P-256", "kid": "e", "alg": "ES256", "x": b64(number(point.x, 32)),
         "y": b64(number(point.y, 32))},
        {"kty": "OKP", "crv": "Ed25519", "kid": "d", "alg": "EdDSA", "x": b64(raw)}]}


def sign(alg, data, key):
    digest = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}.get(alg[2:])
    if alg.startswith("HS"):
        return hmac.new(key, data, getattr(hashlib, "sha" + alg[2:])).digest()
    if alg.startswith("RS"):
        return key.sign(data, padding.PKCS1v15(), digest())
    if alg.startswith("PS"):
        return key.sign(data, padding.PSS(padding.MGF1(digest()), digest().digest_size), digest())
    if alg.startswith("ES"):
        r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(digest())))
        size = (key.key_size + 7) // 8
        return number(r, size) + number(s, size)
    return key.sign(data)


KEYS = {"RS256": ("r", RSA), "ES256": ("e", P256), "EdDSA": ("d", ED), "HS256": ("h", SECRET)}


def claims(alg="RS256", **more):
    now = int(time.time())
    made = {"iss": "secret" if alg == "HS256" else "keys", "aud": "corral", "sub": "ann",
            "tenant": "acme", "iat": now, "exp": now + 20000}
    made.update(more)
    return {name: value for name, value in made.items() if value is not ...}


def token(alg="RS256", key=None, header=None, payload=None, signature=None, **more):
    """A token that is good in all but what is given; ... as a claim takes it out."""
    kid, own = KEYS[alg]
    if not isinstance(header, bytes):
        header = json.dumps({"alg": alg, "kid": kid, "typ": "JWT", **(header or {})}).encode()
    if payload is None:
        payload = json.dumps(claims(alg, **more)).encode()
    data = (b64(header) + "." + b64(payload)).encode()
    made = sign(alg, data, key or own) if signature is None else signature
    return data.decode() + "." + (b64(made) if isinstance(made, bytes) else made)


def with_header(text, alg="RS256", **more):
    return token(alg, header=text if isinstance(text, bytes) else text.encode(), **more)


def with_claims(text):
    return token(payload=text if isinstance(text, bytes) else text.encode())


def raw_claims(pairs):
    """Claims as text, with `pairs` behind the good ones."""
    return json.dumps(claims())[:-1] + "," + pairs + "}"


def hs_with(secret, alg="HS256", kid="r"):
    """Signed as if a public key were a secret."""
    data = b64(json.dumps({"alg": alg, "kid": kid}).encode()) + "." + b64(json.dumps(claims()).encode())
    return data + "." + b64(sign(alg, data.encode(), secret))


def confusions():
    found = {}
    for kid, key in (("r", RSA), ("e", P256)):
        public = key.public_key()
        pem = public.public_bytes(serialization.Encoding.PEM,
                                  serialization.PublicFormat.SubjectPublicKeyInfo)
        der = public.public_bytes(serialization.Encoding.DER,
                                  serialization.PublicFormat.SubjectPublicKeyInfo)
        jwk = next(k for k in jwks()["keys"] if k["kid"] == kid)
        for name, secret in (("PEM", pem), ("PEM without LF", pem.rstrip()), ("DER", der),
                             ("JWK", json.dumps(jwk).encode()),
                             ("coordinate", (jwk.get("n") or jwk["x"]).encode()),
                             ("space and PEM", b" " + pem), ("nothing", b"")):
            for alg in ("HS256", "HS384", "HS512"):
                found["S-%s %s keyed with %s of %s" % ("222" if not secret else "221", alg, name,
                                                       kid)] = hs_with(secret, alg, kid)
    return found


def bent(text, at=-1):
    """One character of the signature changed."""
    head, _, tail = text.rpartition(".")
    other = "A" if tail[at] != "A" else "B"
    return head + "." + (tail[:at] + other + (tail[at + 1:] if at != -1 else ""))


NOW = int(time.time())
RS = token()
PARTS = RS.split(".")
ES_HEAD = token("ES256").rpartition(".")[0]
ED_HEAD, _, ED_TAIL = token("EdDSA").rpartition(".")
ED_RAW = base64.urlsafe_b64decode(ED_TAIL + "==")
ED_ORDER = 2 ** 252 + 27742317777372353535851937790883648493
DER = P256.sign(b"x", ec.ECDSA(hashes.SHA256()))

TABLE = {
    **confusions(),
    "S-220 no alg": with_header('{"kid":"r"}'),
    "S-220 empty alg": with_header('{"alg":"","kid":"r"}'),
    "S-220 null alg": with_header('{"alg":null,"kid":"r"}'),
    "S-220 list of alg": with_header('{"alg":["RS256"],"kid":"r"}'),
    "S-220 number alg": with_header('{"alg":256,"kid":"r"}'),
    "S-220 long alg": with_header('{"alg":"%s","kid":"r"}' % ("R" * 300)),
    "S-223 small letters": token(header={"alg": "rs256"}),
    "S-223 space behind": token(header={"alg": "RS256 "}),
    "S-223 NUL behind": token(header={"alg": "RS256\0"}),
    "S-224 RS512": token(signature=sign("RS512", b"x", RSA), header={"alg": "RS512"}),
    "S-225 P-384 key": token("ES256", key=P384),
    "S-225 ES384 label": token("ES256", header={"alg": "ES384"}),
    "S-226 DER": ES_HEAD + "." + b64(DER),
    "S-226 63 bytes": ES_HEAD + "." + b64(b"\1" * 63),
    "S-226 65 bytes": ES_HEAD + "." + b64(b"\1" * 65),
    "S-228 short": ED_HEAD + "." + b64(ED_RAW[:63]),
    "S-228 long": ED_HEAD + "." + b64(ED_RAW + b"\0"),
    "S-228 S over the order": ED_HEAD + "." + b64(
        ED_RAW[:32] + (int.from_bytes(ED_RAW[32:], "little") + ED_ORDER).to_bytes(32, "little")),
    "S-229 other key": token(key=OTHER_RSA),
    "S-229 other hash": token(signature=sign("RS512", (PARTS[0] + "." + PARTS[1]).encode(), RSA)),
    "S-229 short": PARTS[0] + "." + PARTS[1] + "." + PARTS[2][:100],
    "S-230 PSS for PKCS1": token(signature=sign("PS256", b"x", RSA)),
    "S-231 padding": RS + "=",
    "S-231 two paddings": RS + "==",
    "S-231 space inside": RS[:-9] + " " + RS[-9:],
    "S-231 exclamation mark": RS[:-9] + "!" + RS[-9:],
    "S-231 plus": RS[:-9] + "+" + RS[-9:],
    "S-231 slash": RS[:-9] + "/" + RS[-9:],
    "S-231 bits behind the end": RS[:-1] + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                           "0123456789-_"[
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(RS[-1]) ^ 1],
    "S-232 one segment": PARTS[0],
    "S-232 two segments": PARTS[0] + "." + PARTS[1],
    "S-232 four segments": RS + ".AA",
    "S-232 five segments": RS + ".AA.AA",
    "S-232 dot in front": "." + RS,
    "S-232 dot behind": RS + ".",
    "S-232 empty payload": PARTS[0] + ".." + PARTS[2],
    "S-232 JSON form": '{"payload":"%s"}' % PARTS[1],
    "S-233 no JSON": with_header("alg"),
    "S-233 list": with_header('["RS256"]'),
    "S-233 string": with_header('"RS256"'),
    "S-233 deep": with_header('{"alg":"RS256","kid":"r","x":' + "[" * 1000 + "]" * 1000 + "}"),
    "S-233 two alg": with_header('{"alg":"RS256","alg":"RS256","kid":"r"}'),
    "S-233 two alg in two cases": with_header('{"alg":"RS256","ALG":"none","kid":"r"}'),
    "S-233 BOM": with_header(b'\xef\xbb\xbf{"alg":"RS256","kid":"r"}'),
    "S-233 invalid UTF-8": with_header(b'{"alg":"RS256","kid":"r","x":"\xff"}'),
    "S-234 list": with_claims("[]"),
    "S-234 string": with_claims('"x"'),
    "S-234 number": with_claims("1"),
    "S-234 two exp": with_claims(raw_claims('"exp":%d' % (NOW + 600))),
    "S-234 two tenants": with_claims(raw_claims('"Tenant":"beta"')),
    "S-234 NUL in the tenant": token(tenant="acme\0"),
    "S-234 invalid UTF-8": with_claims(raw_claims('"x":"').encode()[:-1] + b'\xff"}'),
    "S-234 deep": with_claims(raw_claims('"x":' + "[" * 64 + "]" * 64)),
    "S-236 no kid": with_header('{"alg":"RS256"}'),
    "S-238 jku": token(header={"jku": "https://evil.example/keys"}),
    "S-238 x5u": token(header={"x5u": "https://evil.example/keys"}),
    "S-238 jwk": token(key=OTHER_RSA, header={"jwk": {
        "kty": "RSA", "e": "AQAB", "n": b64(number(OTHER_RSA.public_key().public_numbers().n, 256))}}),
    "S-238 x5c": token(header={"x5c": ["AAAA"]}),
    "S-238 x5t": token(header={"x5t": "AAAA"}),
    "S-239 crit exp": token(header={"crit": ["exp"]}),
    "S-239 crit empty": token(header={"crit": []}),
    "S-239 crit no list": token(header={"crit": "exp"}),
    "S-239 b64": token(header={"b64": False}),
    "S-239 zip": token(header={"zip": "DEF"}),
    "S-241 logout": token(header={"typ": "logout+jwt"}),
    "S-241 dpop": token(header={"typ": "dpop+jwt"}),
    "S-241 secevent": token(header={"typ": "secevent+jwt"}),
    "S-241 id token": token(at_hash="x"),
    "S-243 nbf": token(nbf=NOW + 3600),
    "S-243 iat": token(iat=NOW + 3600, exp=NOW + 3700),
    "S-243 lifetime": token(exp=NOW + 200000),
    "S-244 no iss": token(iss=...),
    "S-244 other": token(iss="other"),
    "S-244 prefix": token(iss="key"),
    "S-244 slash": token(iss="keys/"),
    "S-244 upper case": token(iss="KEYS"),
    "S-244 the other issuer's": token(iss="secret"),
    "S-245 no aud": token(aud=...),
    "S-245 other": token(aud="other"),
    "S-245 prefix": token(aud="corra"),
    "S-245 object": token(aud={"corral": 1}),
    "S-245 list of others": token(aud=["a", "b"]),
    "S-245 a thousand": token(aud=["a"] * 1000),
    "S-246 no tenant": token(tenant=...),
    "S-246 list": token(tenant=["acme"]),
    "S-246 colon": token(tenant="acme:x"),
    "S-246 star": token(tenant="*"),
    "S-246 newline": token(tenant="acme\n"),
    "S-246 long": token(tenant="a" * 3000),
    "S-247 of another issuer": token("HS256", tenant="only-keys"),
    "S-262 one character": bent(token("HS256")),
    "S-262 first character": bent(token("HS256"), 0),
}
for _alg in ("none", "None", "NONE", "nOnE"):
    TABLE["S-219 %s with a signature" % _alg] = token(header={"alg": _alg})
    TABLE["S-219 %s without" % _alg] = token(header={"alg": _alg}, signature="")
for _name, _r, _s in (("zeroes", 0, 0), ("r is n", ORDER, 1), ("s is n", 1, ORDER),
                      ("r over n", ORDER + 1, 1)):
    TABLE["S-226 " + _name] = ES_HEAD + "." + b64(number(_r, 32) + number(_s, 32))
for _kid in ("../../../dev/null", "/etc/hostname", "' OR 1=1", "%00", "\r\nX: y", "k" * 4000, 7, "",
             "R", "rr"):
    TABLE["S-235 kid %.12r" % (_kid,)] = token(header={"kid": _kid})
for _name, _exp in (("missing", ...), ("string", str(NOW + 600)), ("float", NOW + 600.5),
                    ("1e10", None), ("null", None), ("true", True), ("negative", -1),
                    ("2^63", 2 ** 63), ("past by 61", NOW - 61)):
    _text = token(exp=_exp) if _name != "1e10" else with_claims(
        json.dumps(claims(exp=...))[:-1] + ',"exp":1e10}')
    TABLE["S-242 exp " + _name] = _text

GOOD = {
    "S-219 a good one": RS,
    "S-227 a second signature of the same": token("ES256"),
    "S-228 Ed25519": token("EdDSA"),
    "S-237 one kid is one key": token("ES256"),
    "S-240 JWT": token(header={"typ": "JWT"}),
    "S-240 jwt": token(header={"typ": "jwt"}),
    "S-240 at+jwt": token(header={"typ": "at+jwt"}),
    "S-240 application": token(header={"typ": "application/at+jwt"}),
    "S-240 missing": with_header('{"alg":"RS256","kid":"r"}'),
    "S-242 past by less than the skew": lambda: token(exp=int(time.time()) - 1),
    "S-245 one of several": token(aud=["a", "corral"]),
    "S-248 nearly 8 KiB": token(x="a" * 5500),
    "S-262 an HMAC": token("HS256"),
}
