-- +goose Up

-- How far each projection has come: written in the transaction that writes its rows. incarnation is
-- when the stream was created: sequences of a stream that was made again mean other messages.
CREATE TABLE mailwright.checkpoints (
    projection  text        PRIMARY KEY,
    stream      text        NOT NULL,
    incarnation timestamptz NOT NULL,
    sequence    bigint      NOT NULL DEFAULT 0,
    updated_at  timestamptz NOT NULL DEFAULT now()
);

-- Messages that a projection could not apply, so that they neither stop it nor vanish.
CREATE TABLE mailwright.projection_errors (
    projection  text        NOT NULL,
    sequence    bigint      NOT NULL,
    stream      text        NOT NULL,
    subject     text        NOT NULL,
    reason      text        NOT NULL,
    stored_at   timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, sequence)
);

-- +goose Down
DROP TABLE mailwright.projection_errors;
DROP TABLE mailwright.checkpoints;
