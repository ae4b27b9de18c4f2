-- +goose Up

-- How far each projection has come: written in the transaction that writes its rows. incarnation is
-- when the stream was created: sequences of a stream that was made again mean other messages. stored_at is
-- when the message at sequence was stored, NULL where not known: another message there means that the
-- stream has lost its end and grown again.
CREATE TABLE mailwright.checkpoints (
    projection  text        PRIMARY KEY,
    stream      text        NOT NULL,
    incarnation timestamptz NOT NULL,
    sequence    bigint      NOT NULL DEFAULT 0,
    stored_at   timestamptz,
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

-- Up to where what the rows say has been published; of no projection, so a rebuild leaves it as it is. incarnation is of the stream
-- that the sequence is of, as in checkpoints; NULL: nothing has been published.
CREATE TABLE mailwright.publications (
    publication text        PRIMARY KEY,
    sequence    bigint      NOT NULL,
    incarnation timestamptz
);

-- Up to when months were taken out of a table partitioned by time. Older rows are not written again, so that a rebuild does
-- not bring them back.
CREATE TABLE mailwright.retention (
    table_name text        PRIMARY KEY,
    before     timestamptz NOT NULL
);

-- +goose Down
DROP TABLE mailwright.retention;
DROP TABLE mailwright.publications;
DROP TABLE mailwright.projection_errors;
DROP TABLE mailwright.checkpoints;
