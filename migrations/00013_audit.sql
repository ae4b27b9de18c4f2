-- +goose Up

-- Who is behind a command: CloudEvents' extension Auth Context. Personal data.
ALTER TABLE mailwright.operations
    ADD COLUMN IF NOT EXISTS auth_type   text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS auth_id     text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS auth_claims text NOT NULL DEFAULT '';

CREATE OR REPLACE VIEW mailwright_views.operations AS
SELECT operation_id,
       command_source,
       command_id,
       command_type,
       domain,
       key,
       tenant,
       correlation_id,
       subject,
       fingerprint,
       state,
       attempts,
       failure_kind,
       failure_vendor,
       failure_code,
       failure_text,
       failing_since,
       faults,
       warnings,
       result_type,
       result,
       received_at,
       first_event_at,
       updated_at,
       finished_at,
       next_attempt_at,
       waiting_reason,
       auth_type,
       auth_id,
       auth_claims
  FROM mailwright.operations;

COMMENT ON COLUMN mailwright_views.operations.auth_type IS 'What kind of principal is behind the command, as its publisher says (CloudEvents'' authtype); '''' where absent.';
COMMENT ON COLUMN mailwright_views.operations.auth_id IS 'Which principal, as the publisher says (authid); '''' where absent. Personal data.';
COMMENT ON COLUMN mailwright_views.operations.auth_claims IS 'What is known of the principal, as the publisher says (authclaims): a JSON object as text; '''' where absent. Personal data.';

-- One row an act of a person. The first intent of an act counts, and the first result.
CREATE TABLE mailwright.audit (
    nats_user     text        NOT NULL,
    act_id        text        NOT NULL,
    action        text        NOT NULL,
    result        text        NOT NULL,
    auth_type     text        NOT NULL DEFAULT '',
    auth_id       text        NOT NULL DEFAULT '',
    source        text        NOT NULL DEFAULT '',
    connected_as  text        NOT NULL DEFAULT '',
    reason        text        NOT NULL DEFAULT '',
    options       text[]      NOT NULL DEFAULT '{}',
    tenants       text[]      NOT NULL DEFAULT '{}',
    operations    text[]      NOT NULL DEFAULT '{}',
    dead_letters  jsonb       NOT NULL DEFAULT '[]',
    targets       text[]      NOT NULL DEFAULT '{}',
    intended      bigint,
    done          bigint,
    intended_at   timestamptz,
    completed_at  timestamptz,
    last_sequence bigint      NOT NULL,
    PRIMARY KEY (nats_user, act_id)
);

CREATE INDEX audit_intended ON mailwright.audit (intended_at DESC);

CREATE VIEW mailwright_views.audit AS
SELECT act_id,
       nats_user,
       auth_type,
       auth_id,
       source,
       connected_as,
       action,
       reason,
       result,
       options,
       tenants,
       operations,
       dead_letters,
       targets,
       intended,
       done,
       intended_at,
       completed_at
  FROM mailwright.audit;

COMMENT ON VIEW mailwright_views.audit IS 'What people did to the system: who, what, why, and how it ended.';
COMMENT ON COLUMN mailwright_views.audit.act_id IS 'The act: the id of its event audit.intended.';
COMMENT ON COLUMN mailwright_views.audit.nats_user IS 'NATS user that the permissions vouch for, such as operator. Without permissions, what the program says.';
COMMENT ON COLUMN mailwright_views.audit.auth_type IS 'What kind of principal acts: user.';
COMMENT ON COLUMN mailwright_views.audit.auth_id IS 'Who acts, as the program says: of the command line, the operating system''s user and the host.';
COMMENT ON COLUMN mailwright_views.audit.source IS 'Program by which it was done.';
COMMENT ON COLUMN mailwright_views.audit.connected_as IS 'What NATS told the program of its user: a public nkey, or a name; '''' where it told nothing.';
COMMENT ON COLUMN mailwright_views.audit.action IS 'again, cancel, dead.discard, dead.replay, erase, import, projection.rebuild, retry, secrets.publish, send or streams.apply.';
COMMENT ON COLUMN mailwright_views.audit.reason IS 'Why, in the person''s own words; '''' where none was given.';
COMMENT ON COLUMN mailwright_views.audit.result IS 'done; refused: nothing was done; failed: it ended before all was done; unknown: under way, or its program was killed.';
COMMENT ON COLUMN mailwright_views.audit.options IS 'Options that widen what is done, such as force.';
COMMENT ON COLUMN mailwright_views.audit.tenants IS 'Tenants that it was done to; {} where it was done to the whole system.';
COMMENT ON COLUMN mailwright_views.audit.operations IS 'Operations that it was done to, or that it started: the first 1,000.';
COMMENT ON COLUMN mailwright_views.audit.dead_letters IS 'Dead letters that it was done to, by their positions in DEAD: the first 1,000.';
COMMENT ON COLUMN mailwright_views.audit.targets IS 'Parts of the system that it was done to, such as stream COMMANDS.';
COMMENT ON COLUMN mailwright_views.audit.intended IS 'How many things it was meant to be done to; NULL where no intent is known.';
COMMENT ON COLUMN mailwright_views.audit.done IS 'How many things it was done to; NULL while the result is unknown.';
COMMENT ON COLUMN mailwright_views.audit.intended_at IS 'When the intent was stored, before the act; NULL where no intent is known.';
COMMENT ON COLUMN mailwright_views.audit.completed_at IS 'When the result was stored; NULL while it is unknown.';

-- Who acts is not for everyone who reads dashboards. Its readers are members of a role of their own, which is made as
-- mailwright_reader is.
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mailwright_reader') THEN
        REVOKE ALL ON mailwright_views.audit FROM mailwright_reader;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mailwright_auditor') THEN
        CREATE ROLE mailwright_auditor NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE WARNING 'role mailwright_auditor could not be created: not allowed; docs/projections.md says how to add it';
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mailwright_auditor') THEN
        GRANT USAGE ON SCHEMA mailwright_views TO mailwright_auditor;
        GRANT SELECT ON mailwright_views.audit TO mailwright_auditor;
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP VIEW mailwright_views.audit;
DROP TABLE mailwright.audit;
-- The role stays: it belongs to the whole server.
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mailwright_auditor') THEN
        REVOKE ALL ON SCHEMA mailwright_views FROM mailwright_auditor;
    END IF;
END
$$;
-- +goose StatementEnd
-- A view loses no columns, so the columns stay. 00001 drops the table with them.
