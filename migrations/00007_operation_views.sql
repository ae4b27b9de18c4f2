-- +goose Up

-- The views are the stable surface for dashboards. They have a schema of their own, so that a reader
-- can be let into that schema alone: a table that is added later cannot be laid open by accident,
-- and the views can bear plain names. Lists of columns are explicit: a table's new column changes no view.
-- A released view gets further columns at its end, by CREATE OR REPLACE: one that is made anew loses its grants.
CREATE SCHEMA mailwright_views;
COMMENT ON SCHEMA mailwright_views IS 'Mailwright: views for dashboards, the stable surface. Read as a member of the role mailwright_reader.';
REVOKE ALL ON SCHEMA mailwright_views FROM PUBLIC;

-- Roles belong to the whole server: another database of it may have made this one already, or be
-- making it now. Where we may not make roles, an administrator makes it and repeats the two grants.
-- +goose StatementBegin
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mailwright_reader') THEN
        CREATE ROLE mailwright_reader NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE WARNING 'role mailwright_reader could not be created: not allowed; docs/projections.md says how to add it';
END
$$;
-- +goose StatementEnd

-- Default privileges cover every view that follows, in later migrations too.
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mailwright_reader') THEN
        GRANT USAGE ON SCHEMA mailwright_views TO mailwright_reader;
        ALTER DEFAULT PRIVILEGES IN SCHEMA mailwright_views GRANT SELECT ON TABLES TO mailwright_reader;
    END IF;
END
$$;
-- +goose StatementEnd

CREATE VIEW mailwright_views.operations AS
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
       waiting_reason
  FROM mailwright.operations;

COMMENT ON VIEW mailwright_views.operations IS 'One row a command: where it stands and what came of it.';
COMMENT ON COLUMN mailwright_views.operations.operation_id IS 'Identity: first 26 characters of lower-case base32 of SHA-256(tenant, newline, command_source, newline, command_id; of a dry run also newline, plan).';
COMMENT ON COLUMN mailwright_views.operations.command_source IS 'CloudEvents source of the command: who asked.';
COMMENT ON COLUMN mailwright_views.operations.command_id IS 'CloudEvents id of the command, unique within its source.';
COMMENT ON COLUMN mailwright_views.operations.command_type IS 'CloudEvents type of the command.';
COMMENT ON COLUMN mailwright_views.operations.domain IS 'directory, mailbox, delegation or inventory: the service that carries it out.';
COMMENT ON COLUMN mailwright_views.operations.key IS 'Key of the command''s subject: commands with the same tenant, domain and key take effect in order.';
COMMENT ON COLUMN mailwright_views.operations.tenant IS 'Tenant of the subject that the command was published to.';
COMMENT ON COLUMN mailwright_views.operations.correlation_id IS 'Carried through unchanged from the command, such as a ticket; '''' where absent.';
COMMENT ON COLUMN mailwright_views.operations.subject IS 'Whom it is about, for people; '''' where absent.';
COMMENT ON COLUMN mailwright_views.operations.fingerprint IS 'SHA-256 of the command''s type, notbefore, expirytime, and data without secrets.';
COMMENT ON COLUMN mailwright_views.operations.state IS 'received, started, waiting, unknown, succeeded, failed, rejected or cancelled.';
COMMENT ON COLUMN mailwright_views.operations.attempts IS 'Attempts at the vendor so far.';
COMMENT ON COLUMN mailwright_views.operations.failure_kind IS 'Kind of the latest failure, while waiting, unknown or failed; else ''''.';
COMMENT ON COLUMN mailwright_views.operations.failure_vendor IS 'API that failed; '''' where no vendor was involved.';
COMMENT ON COLUMN mailwright_views.operations.failure_code IS 'The vendor''s own code, for looking up.';
COMMENT ON COLUMN mailwright_views.operations.failure_text IS 'One sentence, free of secrets.';
COMMENT ON COLUMN mailwright_views.operations.failing_since IS 'When the first attempt failed or, without a failure, it began to wait; by the service''s clock.';
COMMENT ON COLUMN mailwright_views.operations.faults IS 'What is wrong with a rejected command: a list of {field, problem}.';
COMMENT ON COLUMN mailwright_views.operations.warnings IS 'What to look at although the command was taken, such as its key, and what the vendor could not do although the operation succeeded: a list of {source, text}.';
COMMENT ON COLUMN mailwright_views.operations.result_type IS 'CloudEvents type of the success; '''' before it.';
COMMENT ON COLUMN mailwright_views.operations.result IS 'Data of the success, without the operation, the warnings and lists that have views of their own.';
COMMENT ON COLUMN mailwright_views.operations.received_at IS 'When the command was stored.';
COMMENT ON COLUMN mailwright_views.operations.first_event_at IS 'When the first event about it was stored.';
COMMENT ON COLUMN mailwright_views.operations.updated_at IS 'When the latest event about it was stored.';
COMMENT ON COLUMN mailwright_views.operations.finished_at IS 'When its outcome was stored; NULL before.';
COMMENT ON COLUMN mailwright_views.operations.next_attempt_at IS 'When it is tried again; of one that waits for its key, what was known when it began to: waiting.next_attempt_at follows. NULL where it is not waiting.';
COMMENT ON COLUMN mailwright_views.operations.waiting_reason IS 'While waiting: failure (an attempt failed in a way that may pass), scheduled (notbefore has not come), concurrency-limit (other calls use up the limit) or blocked-by-key (commands of its key that came before it wait); else ''''.';

CREATE VIEW mailwright_views.operations_by_state AS
SELECT domain,
       state,
       sum(operations)::bigint AS operations,
       min(oldest_received_at) AS oldest_received_at,
       max(last_at)            AS latest_update_at
  FROM mailwright.operation_outcomes
 GROUP BY domain, state
UNION ALL
SELECT domain,
       state,
       count(*),
       min(received_at),
       max(updated_at)
  FROM mailwright.operations
 WHERE state IN ('received', 'started', 'waiting', 'unknown')
 GROUP BY domain, state;

COMMENT ON VIEW mailwright_views.operations_by_state IS 'How many operations stand where.';
COMMENT ON COLUMN mailwright_views.operations_by_state.domain IS 'directory, mailbox, delegation or inventory: the service that carries it out.';
COMMENT ON COLUMN mailwright_views.operations_by_state.state IS 'received, started, waiting, unknown, succeeded, failed, rejected or cancelled.';
COMMENT ON COLUMN mailwright_views.operations_by_state.operations IS 'Number of operations.';
COMMENT ON COLUMN mailwright_views.operations_by_state.oldest_received_at IS 'When the oldest of them was received.';
COMMENT ON COLUMN mailwright_views.operations_by_state.latest_update_at IS 'When the latest of them changed.';

CREATE VIEW mailwright_views.operations_by_hour AS
SELECT hour,
       tenant,
       domain,
       command_type,
       state,
       sum(operations)::bigint AS operations,
       min(oldest_received_at) AS oldest_received_at,
       max(last_at)            AS latest_update_at
  FROM mailwright.operation_outcomes
 GROUP BY 1, 2, 3, 4, 5
UNION ALL
SELECT date_trunc('hour', received_at, 'UTC'),
       tenant,
       domain,
       command_type,
       state,
       count(*),
       min(received_at),
       max(updated_at)
  FROM mailwright.operations
 WHERE state IN ('received', 'started', 'waiting', 'unknown')
 GROUP BY 1, 2, 3, 4, 5;

COMMENT ON VIEW mailwright_views.operations_by_hour IS 'Operations counted by hour, tenant, kind and state.';
COMMENT ON COLUMN mailwright_views.operations_by_hour.hour IS 'Start of the hour, UTC, in which the operation ended; of one without an outcome, in which it was received.';
COMMENT ON COLUMN mailwright_views.operations_by_hour.tenant IS 'Tenant of the operation; '''' where no vendor has been called for it yet.';
COMMENT ON COLUMN mailwright_views.operations_by_hour.domain IS 'directory, mailbox, delegation or inventory: the service that carries it out.';
COMMENT ON COLUMN mailwright_views.operations_by_hour.command_type IS 'CloudEvents type of the command; '''' of one that ended and is none of ours.';
COMMENT ON COLUMN mailwright_views.operations_by_hour.state IS 'received, started, waiting, unknown, succeeded, failed, rejected or cancelled.';
COMMENT ON COLUMN mailwright_views.operations_by_hour.operations IS 'Number of operations.';
COMMENT ON COLUMN mailwright_views.operations_by_hour.oldest_received_at IS 'When the oldest of them was received.';
COMMENT ON COLUMN mailwright_views.operations_by_hour.latest_update_at IS 'When the latest of them changed.';

CREATE VIEW mailwright_views.waiting AS
SELECT operation_id,
       domain,
       key,
       tenant,
       command_type,
       correlation_id,
       subject,
       state,
       attempts,
       failure_kind,
       failure_vendor,
       failure_code,
       failure_text,
       received_at,
       failing_since,
       CASE WHEN waiting_reason = 'blocked-by-key' THEN (
           SELECT head.next_attempt_at
             FROM mailwright.operations head
            WHERE head.tenant = o.tenant AND head.domain = o.domain AND md5(head.key) = md5(o.key) AND head.received_at <= o.received_at
              AND head.state IN ('received', 'started', 'waiting', 'unknown') AND head.waiting_reason <> 'scheduled'
            ORDER BY head.received_at, head.operation_id
            LIMIT 1)
           ELSE next_attempt_at
       END AS next_attempt_at,
       now() - received_at AS age,
       waiting_reason,
       CASE WHEN waiting_reason = 'blocked-by-key' THEN (
           SELECT nullif(head.operation_id, o.operation_id)
             FROM mailwright.operations head
            WHERE head.tenant = o.tenant AND head.domain = o.domain AND md5(head.key) = md5(o.key) AND head.received_at <= o.received_at
              AND head.state IN ('received', 'started', 'waiting', 'unknown') AND head.waiting_reason <> 'scheduled'
            ORDER BY head.received_at, head.operation_id
            LIMIT 1)
       END AS blocked_by
  FROM mailwright.operations o
 WHERE state IN ('received', 'started', 'waiting', 'unknown');

COMMENT ON VIEW mailwright_views.waiting IS 'Operations without an outcome yet, and what each waits for.';
COMMENT ON COLUMN mailwright_views.waiting.operation_id IS 'Identity: first 26 characters of lower-case base32 of SHA-256(tenant, newline, command_source, newline, command_id; of a dry run also newline, plan).';
COMMENT ON COLUMN mailwright_views.waiting.domain IS 'directory, mailbox, delegation or inventory: the service that carries it out.';
COMMENT ON COLUMN mailwright_views.waiting.key IS 'Key of the command''s subject: commands with the same tenant, domain and key take effect in order.';
COMMENT ON COLUMN mailwright_views.waiting.tenant IS 'Tenant of the subject that the command was published to.';
COMMENT ON COLUMN mailwright_views.waiting.command_type IS 'CloudEvents type of the command.';
COMMENT ON COLUMN mailwright_views.waiting.correlation_id IS 'Carried through unchanged from the command, such as a ticket; '''' where absent.';
COMMENT ON COLUMN mailwright_views.waiting.subject IS 'Whom it is about, for people; '''' where absent.';
COMMENT ON COLUMN mailwright_views.waiting.state IS 'received (nothing has happened yet), started (the vendor is being called), waiting or unknown (the answer was lost and is being read back).';
COMMENT ON COLUMN mailwright_views.waiting.attempts IS 'Attempts at the vendor so far.';
COMMENT ON COLUMN mailwright_views.waiting.failure_kind IS 'Kind of the latest failure, while waiting or unknown; else ''''.';
COMMENT ON COLUMN mailwright_views.waiting.failure_vendor IS 'API that failed; '''' where no vendor was involved.';
COMMENT ON COLUMN mailwright_views.waiting.failure_code IS 'The vendor''s own code, for looking up.';
COMMENT ON COLUMN mailwright_views.waiting.failure_text IS 'One sentence, free of secrets.';
COMMENT ON COLUMN mailwright_views.waiting.received_at IS 'When the command was stored.';
COMMENT ON COLUMN mailwright_views.waiting.failing_since IS 'When the first attempt failed or, without a failure, it began to wait; by the service''s clock.';
COMMENT ON COLUMN mailwright_views.waiting.next_attempt_at IS 'When it is tried again; of one that waits for its key, when the operation blocked_by is. NULL where nothing is waited for, such as a call under way.';
COMMENT ON COLUMN mailwright_views.waiting.age IS 'Time since it was received.';
COMMENT ON COLUMN mailwright_views.waiting.waiting_reason IS 'While waiting: failure (an attempt failed in a way that may pass), scheduled (notbefore has not come), concurrency-limit (other calls use up the limit) or blocked-by-key (commands of its key that came before it wait); else ''''.';
COMMENT ON COLUMN mailwright_views.waiting.blocked_by IS 'While it waits for its key: the operation that holds the key, the earliest of the key that is due and has no outcome. NULL where none does.';

CREATE VIEW mailwright_views.failures_by_reason AS
SELECT domain,
       command_type,
       tenant,
       state,
       failure_vendor,
       failure_kind,
       failure_code,
       sum(operations)::bigint AS operations,
       min(first_at)           AS first_at,
       max(last_at)            AS last_at
  FROM mailwright.operation_outcomes
 WHERE state IN ('failed', 'rejected')
 GROUP BY 1, 2, 3, 4, 5, 6, 7;

COMMENT ON VIEW mailwright_views.failures_by_reason IS 'Failed and rejected operations, counted by reason.';
COMMENT ON COLUMN mailwright_views.failures_by_reason.domain IS 'directory, mailbox, delegation or inventory: the service that carries it out.';
COMMENT ON COLUMN mailwright_views.failures_by_reason.command_type IS 'CloudEvents type of the command; '''' where it is none of ours.';
COMMENT ON COLUMN mailwright_views.failures_by_reason.tenant IS 'Tenant of the operation; '''' where no vendor has been called for it yet.';
COMMENT ON COLUMN mailwright_views.failures_by_reason.state IS 'failed or rejected.';
COMMENT ON COLUMN mailwright_views.failures_by_reason.failure_vendor IS 'API that failed; '''' where no vendor was involved.';
COMMENT ON COLUMN mailwright_views.failures_by_reason.failure_kind IS 'Kind of the failure; invalid for a rejected command.';
COMMENT ON COLUMN mailwright_views.failures_by_reason.failure_code IS 'The vendor''s own code, for looking up.';
COMMENT ON COLUMN mailwright_views.failures_by_reason.operations IS 'Number of operations.';
COMMENT ON COLUMN mailwright_views.failures_by_reason.first_at IS 'When the first of them ended.';
COMMENT ON COLUMN mailwright_views.failures_by_reason.last_at IS 'When the last of them ended.';

CREATE VIEW mailwright_views.failures_by_hour AS
SELECT hour,
       tenant,
       domain,
       command_type,
       state,
       failure_vendor,
       failure_kind,
       failure_code,
       operations,
       first_at,
       last_at
  FROM mailwright.operation_outcomes
 WHERE state IN ('failed', 'rejected');

COMMENT ON VIEW mailwright_views.failures_by_hour IS 'Failed and rejected operations, counted by hour and reason.';
COMMENT ON COLUMN mailwright_views.failures_by_hour.hour IS 'Start of the hour in which they ended, UTC.';
COMMENT ON COLUMN mailwright_views.failures_by_hour.tenant IS 'Tenant of the operation; '''' where no vendor has been called for it yet.';
COMMENT ON COLUMN mailwright_views.failures_by_hour.domain IS 'directory, mailbox, delegation or inventory: the service that carries it out.';
COMMENT ON COLUMN mailwright_views.failures_by_hour.command_type IS 'CloudEvents type of the command; '''' where it is none of ours.';
COMMENT ON COLUMN mailwright_views.failures_by_hour.state IS 'failed or rejected.';
COMMENT ON COLUMN mailwright_views.failures_by_hour.failure_vendor IS 'API that failed; '''' where no vendor was involved.';
COMMENT ON COLUMN mailwright_views.failures_by_hour.failure_kind IS 'Kind of the failure; invalid for a rejected command.';
COMMENT ON COLUMN mailwright_views.failures_by_hour.failure_code IS 'The vendor''s own code, for looking up.';
COMMENT ON COLUMN mailwright_views.failures_by_hour.operations IS 'Number of operations.';
COMMENT ON COLUMN mailwright_views.failures_by_hour.first_at IS 'When the first of them ended.';
COMMENT ON COLUMN mailwright_views.failures_by_hour.last_at IS 'When the last of them ended.';

CREATE VIEW mailwright_views.operation_durations AS
SELECT hour,
       tenant,
       domain,
       command_type,
       state,
       duration_ms * interval '1 millisecond' AS duration,
       operations
  FROM mailwright.operation_durations;

COMMENT ON VIEW mailwright_views.operation_durations IS 'How long operations took from the command to the outcome: a histogram an hour, tenant, kind and outcome.';
COMMENT ON COLUMN mailwright_views.operation_durations.hour IS 'Start of the hour in which they ended, UTC.';
COMMENT ON COLUMN mailwright_views.operation_durations.tenant IS 'Tenant of the operation; '''' where no vendor has been called for it yet.';
COMMENT ON COLUMN mailwright_views.operation_durations.domain IS 'directory, mailbox, delegation or inventory: the service that carries it out.';
COMMENT ON COLUMN mailwright_views.operation_durations.command_type IS 'CloudEvents type of the command; '''' where it is none of ours.';
COMMENT ON COLUMN mailwright_views.operation_durations.state IS 'succeeded, failed, rejected or cancelled.';
COMMENT ON COLUMN mailwright_views.operation_durations.duration IS 'Time from the command to the outcome, as stored; rounded, at most 12.5 % off.';
COMMENT ON COLUMN mailwright_views.operation_durations.operations IS 'Number of operations that took so long.';

CREATE VIEW mailwright_views.durations_by_hour AS
SELECT hour,
       tenant,
       domain,
       command_type,
       state,
       sum(operations)::bigint AS operations,
       min(duration_ms) FILTER (WHERE upto >= 0.5  * total) * interval '1 millisecond' AS p50,
       min(duration_ms) FILTER (WHERE upto >= 0.9  * total) * interval '1 millisecond' AS p90,
       min(duration_ms) FILTER (WHERE upto >= 0.99 * total) * interval '1 millisecond' AS p99
  FROM (SELECT *,
               sum(operations) OVER (PARTITION BY hour, tenant, domain, command_type, state ORDER BY duration_ms) AS upto,
               sum(operations) OVER (PARTITION BY hour, tenant, domain, command_type, state)                      AS total
          FROM mailwright.operation_durations) durations
 GROUP BY 1, 2, 3, 4, 5;

COMMENT ON VIEW mailwright_views.durations_by_hour IS 'Time from the command to the outcome, as percentiles an hour, tenant, kind and outcome.';
COMMENT ON COLUMN mailwright_views.durations_by_hour.hour IS 'Start of the hour in which they ended, UTC.';
COMMENT ON COLUMN mailwright_views.durations_by_hour.tenant IS 'Tenant of the operation; '''' where no vendor has been called for it yet.';
COMMENT ON COLUMN mailwright_views.durations_by_hour.domain IS 'directory, mailbox, delegation or inventory: the service that carries it out.';
COMMENT ON COLUMN mailwright_views.durations_by_hour.command_type IS 'CloudEvents type of the command; '''' where it is none of ours.';
COMMENT ON COLUMN mailwright_views.durations_by_hour.state IS 'succeeded, failed, rejected or cancelled.';
COMMENT ON COLUMN mailwright_views.durations_by_hour.operations IS 'Number of operations.';
COMMENT ON COLUMN mailwright_views.durations_by_hour.p50 IS 'Half of them took so long or less; at most 12.5 % off.';
COMMENT ON COLUMN mailwright_views.durations_by_hour.p90 IS 'Nine of ten took so long or less; at most 12.5 % off.';
COMMENT ON COLUMN mailwright_views.durations_by_hour.p99 IS '99 of 100 took so long or less; at most 12.5 % off.';

CREATE VIEW mailwright_views.operation_events AS
SELECT sequence,
       stored_at,
       operation_id,
       domain,
       type,
       state,
       attempt,
       failure_kind,
       failure_vendor,
       failure_code,
       failure_text,
       event_id,
       source,
       occurred_at,
       data
  FROM mailwright.operation_events;

COMMENT ON VIEW mailwright_views.operation_events IS 'Every event of every operation: the history, append-only.';
COMMENT ON COLUMN mailwright_views.operation_events.sequence IS 'Position in the stream EVENTS.';
COMMENT ON COLUMN mailwright_views.operation_events.stored_at IS 'When the event was stored.';
COMMENT ON COLUMN mailwright_views.operation_events.operation_id IS 'Operation that it belongs to.';
COMMENT ON COLUMN mailwright_views.operation_events.domain IS 'directory, mailbox, delegation or inventory: the service that carries it out.';
COMMENT ON COLUMN mailwright_views.operation_events.type IS 'CloudEvents type.';
COMMENT ON COLUMN mailwright_views.operation_events.state IS 'State in which it leaves the operation.';
COMMENT ON COLUMN mailwright_views.operation_events.attempt IS 'Which attempt at the vendor it reports, from 1.';
COMMENT ON COLUMN mailwright_views.operation_events.failure_kind IS 'Kind of the failure that it reports; else ''''.';
COMMENT ON COLUMN mailwright_views.operation_events.failure_vendor IS 'API that failed; '''' where no vendor was involved.';
COMMENT ON COLUMN mailwright_views.operation_events.failure_code IS 'The vendor''s own code, for looking up.';
COMMENT ON COLUMN mailwright_views.operation_events.failure_text IS 'One sentence, free of secrets.';
COMMENT ON COLUMN mailwright_views.operation_events.event_id IS 'CloudEvents id.';
COMMENT ON COLUMN mailwright_views.operation_events.source IS 'CloudEvents source: the service that says so.';
COMMENT ON COLUMN mailwright_views.operation_events.occurred_at IS 'When it happened, by that service''s clock.';
COMMENT ON COLUMN mailwright_views.operation_events.data IS 'The event''s data without the operation; mailboxes of delegation.observed stand in delegates instead.';

-- +goose Down
DROP VIEW mailwright_views.operation_events;
DROP VIEW mailwright_views.durations_by_hour;
DROP VIEW mailwright_views.operation_durations;
DROP VIEW mailwright_views.failures_by_hour;
DROP VIEW mailwright_views.failures_by_reason;
DROP VIEW mailwright_views.waiting;
DROP VIEW mailwright_views.operations_by_hour;
DROP VIEW mailwright_views.operations_by_state;
DROP VIEW mailwright_views.operations;
-- The role stays: it belongs to the whole server.
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'mailwright_reader') THEN
        ALTER DEFAULT PRIVILEGES IN SCHEMA mailwright_views REVOKE SELECT ON TABLES FROM mailwright_reader;
    END IF;
END
$$;
-- +goose StatementEnd
DROP SCHEMA mailwright_views;
