-- +goose Up

-- What 'mailwright erase' has taken out, and what it is about to. While an erasure is under way, operations
-- names what it has found, as <tenant>/<domain>/<operation id>: after a crash nothing else may tell. It is
-- empty when the erasure has ended. No column has personal data.
CREATE TABLE mailwright.erasures (
    erasure      bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    began_at     timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz,
    person       text        NOT NULL,
    reason       text        NOT NULL,
    operations   text[]      NOT NULL,
    commands     bigint      NOT NULL DEFAULT 0,
    events       bigint      NOT NULL DEFAULT 0,
    observations bigint      NOT NULL DEFAULT 0,
    drift        bigint      NOT NULL DEFAULT 0,
    dead_letters bigint      NOT NULL DEFAULT 0,
    rows         bigint      NOT NULL DEFAULT 0
);

CREATE VIEW mailwright_views.erasures AS
SELECT erasure,
       began_at,
       ended_at,
       person,
       reason,
       commands,
       events,
       observations,
       drift,
       dead_letters,
       rows
  FROM mailwright.erasures;

COMMENT ON VIEW mailwright_views.erasures IS 'What mailwright erase has taken out, without personal data.';
COMMENT ON COLUMN mailwright_views.erasures.erasure IS 'Number of the erasure.';
COMMENT ON COLUMN mailwright_views.erasures.began_at IS 'When it began.';
COMMENT ON COLUMN mailwright_views.erasures.ended_at IS 'When it ended; NULL where it did not: mailwright erase ends it.';
COMMENT ON COLUMN mailwright_views.erasures.person IS 'Who erased: the user of the machine.';
COMMENT ON COLUMN mailwright_views.erasures.reason IS 'Why, as given.';
COMMENT ON COLUMN mailwright_views.erasures.commands IS 'Commands taken out of COMMANDS.';
COMMENT ON COLUMN mailwright_views.erasures.events IS 'Events taken out of EVENTS.';
COMMENT ON COLUMN mailwright_views.erasures.observations IS 'Mailboxes taken out of MAILBOXES.';
COMMENT ON COLUMN mailwright_views.erasures.drift IS 'Mailboxes taken out of DRIFT.';
COMMENT ON COLUMN mailwright_views.erasures.dead_letters IS 'Dead letters taken out of DEAD.';
COMMENT ON COLUMN mailwright_views.erasures.rows IS 'Rows that named the person when it began.';

-- +goose Down
DROP VIEW mailwright_views.erasures;
DROP TABLE mailwright.erasures;
