"""Settings: one table, three sources, refusals that name the option and the rule."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from maas_api import config
from maas_api.config import ConfigError, Settings, load


def test_defaults_are_those_of_the_service_this_one_replaces() -> None:
    settings = load({}, {})
    assert settings.gateway_name == "maas-default-gateway"
    assert settings.gateway_namespace == "openshift-ingress"
    assert settings.tenant_name == "models-as-a-service"
    assert settings.api_key_max_expiration_days == 90
    assert settings.sar_cache_max_size == 8192
    assert settings.instance == "maas-default-gateway"


def test_it_listens_on_this_machine_alone_unless_told_otherwise() -> None:
    assert (load({}, {}).bind, load({}, {}).metrics_bind) == (("127.0.0.1", 8080), ("127.0.0.1", 9090))
    everywhere = load({}, {"LISTEN_HOST": "0.0.0.0", "TLS_SELF_SIGNED": "true"})
    assert (everywhere.bind, everywhere.metrics_bind) == (("0.0.0.0", 8443), ("0.0.0.0", 9090))
    as_the_go_service = load({"address": ":8080"}, {})
    assert (as_the_go_service.bind, as_the_go_service.metrics_bind) == (("0.0.0.0", 8080), ("0.0.0.0", 9090))
    assert load({"host": "::", "metrics_address": "127.0.0.1"}, {}).metrics_bind == ("127.0.0.1", 9090)


def test_signing_callers_in_needs_users_and_is_for_this_machine_alone(tmp_path: Path) -> None:
    users = tmp_path / "tokens.yaml"
    users.touch()
    good = {"sign_in": "true", "tokens_file": str(users)}
    assert load(good, {}).sign_in
    for address in ("localhost:80", "127.0.0.9:80", "[::1]:80"):
        assert load({**good, "address": address}, {}).sign_in
    with pytest.raises(ConfigError, match=r"--sign-in.*--tokens-file"):
        load({"sign_in": "true"}, {})
    for address in (":8080", "0.0.0.0:8080", "10.0.0.1:8080", "[::]:8080", "laptop.example:8080"):
        with pytest.raises(ConfigError, match=r"--sign-in.*this machine alone"):
            load({**good, "address": address}, {})


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_default() -> None:
    environ = {"METRICS_PORT": "9100", "GATEWAY_NAME": "from-env"}
    settings = load({"metrics_port": "9200"}, environ)
    assert (settings.metrics_port, settings.gateway_name) == (9200, "from-env")


def test_an_empty_variable_counts_as_absent() -> None:
    assert load({}, {"TENANT_NAME": ""}).tenant_name == "models-as-a-service"


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        ("METRICS_PORT", "70000", "from 0 to 65535"),
        ("METRICS_PORT", "9090.5", "whole number"),
        ("METRICS_PORT", "٩٠", "whole number"),
        ("WEB_CONCURRENCY", "0", "from 1 to 64"),
        ("SECURE", "perhaps", "true or false"),
        ("TLS_MIN_VERSION", "1.1", "one of 1.2, 1.3"),
        ("NAMESPACE", "Not_A_Label", "DNS label"),
        ("ADDRESS", "localhost", "host:port"),
        ("LISTEN_HOST", "a b", "host name or an IP address"),
        ("ADDRESS", ":99999", "port from 0 to 65535"),
        ("VALIDATION_GRACE_SECONDS", "nan", "number of seconds"),
        ("OTEL_TRACES_SAMPLE_RATE", "1.5", "from 0 to 1"),
        ("TENANT_NAME", "   ", "blank"),
        ("LOG_FORMAT", "xml", "one of auto, json, text"),
        ("DATABASE_URL", "mysql://db", "must start with postgresql://"),
        ("MANIFESTS", "/no/such/folder", "no folder at '/no/such/folder'"),
        ("TOKENS_FILE", "/no/such/file", "no file at '/no/such/file'"),
    ],
)
def test_a_wrong_value_is_refused_with_the_option_and_the_rule(variable: str, value: str, rule: str) -> None:
    field = next(item for item in dataclasses.fields(Settings) if item.metadata["env"] == variable)
    with pytest.raises(ConfigError) as refusal:
        load({}, {variable: value})
    assert variable in str(refusal.value)
    assert config.flag_name(field) in str(refusal.value)
    assert rule in str(refusal.value)


def test_a_database_url_is_never_repeated_in_a_refusal() -> None:
    with pytest.raises(ConfigError) as refusal:
        load({"database_url": "mysql://user:hunter2@db"}, {})
    assert "hunter2" not in str(refusal.value)


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    cert = tmp_path / "cert.pem"
    cert.touch()
    with pytest.raises(ConfigError, match="--tls-key"):
        load({"tls_cert": str(cert)}, {})


def test_secure_without_a_certificate_is_refused() -> None:
    with pytest.raises(ConfigError, match="--tls-self-signed"):
        load({"secure": "true"}, {})
    assert load({"tls_self_signed": "true"}, {}).bind == ("127.0.0.1", 8443)


def test_an_ipv6_address_is_understood() -> None:
    assert load({"address": "[::1]:8081"}, {}).bind == ("::1", 8081)


def test_settings_cannot_be_changed_after_they_were_checked() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load({}, {}).workers = 3  # type: ignore[misc]


def test_every_option_has_its_own_variable_and_flag_and_a_sentence() -> None:
    fields = dataclasses.fields(Settings)
    assert len({field.metadata["env"] for field in fields}) == len(fields)
    assert len({config.flag_name(field) for field in fields}) == len(fields)
    for field in fields:
        assert field.metadata["help"].endswith("."), field.name
