-- Conventions of every table here: a text that is absent is '', a list that is absent is [],
-- anything else that is absent is NULL. Times come from the clock of the stream's server, so
-- that their differences mean something; a time that somebody else measured says so.
-- last_sequence is the position in its stream of the message that a row reflects.

-- +goose Up
CREATE SCHEMA IF NOT EXISTS mailwright;

-- One row a command. A row that no event has touched (last_sequence 0) comes from COMMANDS and is
-- overwritten as a whole by the operation's first event.
CREATE TABLE mailwright.operations (
    operation_id    text        PRIMARY KEY,
    command_source  text        NOT NULL DEFAULT '',
    command_id      text        NOT NULL DEFAULT '',
    command_type    text        NOT NULL DEFAULT '',
    domain          text        NOT NULL DEFAULT '',
    key             text        NOT NULL DEFAULT '',
    tenant          text        NOT NULL DEFAULT '',
    correlation_id  text        NOT NULL DEFAULT '',
    subject         text        NOT NULL DEFAULT '',
    fingerprint     text        NOT NULL DEFAULT '',
    state           text        NOT NULL
        CHECK (state IN ('received', 'started', 'waiting', 'unknown', 'succeeded', 'failed', 'rejected', 'cancelled')),
    attempts        bigint      NOT NULL DEFAULT 0,
    failure_kind    text        NOT NULL DEFAULT '',
    failure_vendor  text        NOT NULL DEFAULT '',
    failure_code    text        NOT NULL DEFAULT '',
    failure_text    text        NOT NULL DEFAULT '',
    failing_since   timestamptz,
    faults          jsonb       NOT NULL DEFAULT '[]',
    warnings        jsonb       NOT NULL DEFAULT '[]',
    result_type     text        NOT NULL DEFAULT '',
    result          jsonb,
    received_at     timestamptz NOT NULL,
    first_event_at  timestamptz,
    updated_at      timestamptz NOT NULL,
    finished_at     timestamptz,
    next_attempt_at timestamptz,
    last_sequence   bigint      NOT NULL DEFAULT 0,
    waiting_reason  text        NOT NULL DEFAULT ''
);

CREATE INDEX operations_received ON mailwright.operations (received_at DESC);
CREATE INDEX operations_open ON mailwright.operations (next_attempt_at)
    WHERE state IN ('received', 'started', 'waiting', 'unknown');
CREATE INDEX operations_ended_badly ON mailwright.operations (finished_at DESC)
    WHERE state IN ('failed', 'rejected');
CREATE INDEX operations_correlation ON mailwright.operations (correlation_id) WHERE correlation_id <> '';
-- A btree refuses rows above 2,704 bytes, and with them the operation: a command's id and source may
-- have 1,024 characters each, its key 3,000 bytes. A hash index, or one over a hash, takes texts of any length.
CREATE INDEX operations_command ON mailwright.operations USING hash (command_id);
CREATE INDEX operations_domain_key ON mailwright.operations (domain, md5(key));
-- The queue of each key: who waits looks up the earliest that is open.
CREATE INDEX operations_queue ON mailwright.operations (tenant, domain, md5(key), received_at)
    WHERE state IN ('received', 'started', 'waiting', 'unknown');

-- Every event of every operation, as it came, partitioned by the month (UTC) in which the stream stored it. projection-svc makes the
-- months, ahead of time; what has none lands in the default partition until it has. The key begins with the time since a
-- partitioned table's must; the sequence alone is unique already.
CREATE TABLE mailwright.operation_events (
    stored_at      timestamptz NOT NULL,
    sequence       bigint      NOT NULL,
    operation_id   text        NOT NULL,
    domain         text        NOT NULL DEFAULT '',
    type           text        NOT NULL,
    state          text        NOT NULL,
    attempt        bigint      NOT NULL DEFAULT 0,
    failure_kind   text        NOT NULL DEFAULT '',
    failure_vendor text        NOT NULL DEFAULT '',
    failure_code   text        NOT NULL DEFAULT '',
    failure_text   text        NOT NULL DEFAULT '',
    event_id       text        NOT NULL,
    source         text        NOT NULL,
    occurred_at    timestamptz,
    data           jsonb       NOT NULL,
    PRIMARY KEY (stored_at, sequence)
) PARTITION BY RANGE (stored_at);

CREATE TABLE mailwright.operation_events_default PARTITION OF mailwright.operation_events DEFAULT;

CREATE INDEX operation_events_operation ON mailwright.operation_events (operation_id, sequence);

-- Tenants that are known to be configured: a vendor was called for them. Outcomes are counted by tenant
-- for these alone, since the tenantid of a command that was rejected is whatever its publisher wrote.
CREATE TABLE mailwright.operation_tenants (
    tenant        text   PRIMARY KEY,
    last_sequence bigint NOT NULL
);

-- What operations ended as, counted: dashboards ask about millions of operations again and again. Kept with operations in one
-- transaction, from the events alone. hour is the one in which the outcome was stored. tenant is '' where it is not one of
-- operation_tenants, command_type is '' where it is not one of ours: texts of publishers would make a row each.
CREATE TABLE mailwright.operation_outcomes (
    hour               timestamptz NOT NULL,
    tenant             text        NOT NULL DEFAULT '',
    domain             text        NOT NULL,
    command_type       text        NOT NULL DEFAULT '',
    state              text        NOT NULL,
    failure_vendor     text        NOT NULL DEFAULT '',
    failure_kind       text        NOT NULL DEFAULT '',
    failure_code       text        NOT NULL DEFAULT '',
    operations         bigint      NOT NULL,
    oldest_received_at timestamptz NOT NULL,
    first_at           timestamptz NOT NULL,
    last_at            timestamptz NOT NULL,
    last_sequence      bigint      NOT NULL,
    PRIMARY KEY (hour, tenant, domain, command_type, state, failure_vendor, failure_kind, failure_code)
);

CREATE INDEX operation_outcomes_bad ON mailwright.operation_outcomes (hour)
    WHERE state IN ('failed', 'rejected');

-- How long operations took from the command to the outcome, both by the clock of NATS, as a histogram. duration_ms is rounded to three
-- binary digits: it is at most 12.5 % off.
CREATE TABLE mailwright.operation_durations (
    hour          timestamptz NOT NULL,
    tenant        text        NOT NULL DEFAULT '',
    domain        text        NOT NULL,
    command_type  text        NOT NULL DEFAULT '',
    state         text        NOT NULL,
    duration_ms   bigint      NOT NULL,
    operations    bigint      NOT NULL,
    last_sequence bigint      NOT NULL,
    PRIMARY KEY (hour, tenant, domain, command_type, state, duration_ms)
);

-- +goose Down
DROP TABLE mailwright.operation_durations;
DROP TABLE mailwright.operation_outcomes;
DROP TABLE mailwright.operation_tenants;
DROP TABLE mailwright.operation_events;
DROP TABLE mailwright.operations;
