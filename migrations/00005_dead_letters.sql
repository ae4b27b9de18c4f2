-- +goose Up

-- What stands in the stream DEAD: a message that was replayed or discarded leaves this table too.
CREATE TABLE mailwright.dead_letters (
    sequence        bigint      PRIMARY KEY,
    tenant          text        NOT NULL DEFAULT '',
    domain          text        NOT NULL DEFAULT '',
    operation_id    text        NOT NULL DEFAULT '',
    reason          text        NOT NULL,
    detail          text        NOT NULL DEFAULT '',
    origin_stream   text        NOT NULL DEFAULT '',
    origin_sequence bigint,
    origin_subject  text        NOT NULL DEFAULT '',
    consumer        text        NOT NULL DEFAULT '',
    command_source  text        NOT NULL DEFAULT '',
    command_id      text        NOT NULL DEFAULT '',
    type            text        NOT NULL DEFAULT '',
    correlation_id  text        NOT NULL DEFAULT '',
    trace_parent    text        NOT NULL DEFAULT '',
    given_up_at     timestamptz,
    size            bigint,
    sha256          text        NOT NULL DEFAULT '',
    excerpt         jsonb,
    shape           jsonb,
    dead_at         timestamptz NOT NULL
);

CREATE INDEX dead_letters_dead ON mailwright.dead_letters (dead_at DESC);
CREATE INDEX dead_letters_operation ON mailwright.dead_letters (operation_id) WHERE operation_id <> '';

-- +goose Down
DROP TABLE mailwright.dead_letters;
