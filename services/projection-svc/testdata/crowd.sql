-- Rows for the benchmark of views: :operations operations of the last 90 days with three to four events each, :mailboxes mailboxes.
-- Distributions are plausible, not measured: one in twenty operations ends badly, one in a hundred, of the latest, is open; one mailbox in twenty is near
-- its quota, one in eight idle, one in fifty forwards outside, one in thirty is on hold.
SELECT setseed(0.4711);

INSERT INTO mailwright.operations (operation_id, command_source, command_id, command_type, domain, key, tenant, correlation_id, subject, fingerprint,
    state, attempts, failure_kind, failure_vendor, failure_code, failure_text, result_type, result, received_at, first_event_at, updated_at,
    finished_at, next_attempt_at, waiting_reason, last_sequence)
SELECT substr(md5(i::text), 1, 26), 'https://hr.example.com/joiners', 'command-' || i, 'io.mailwright.' || type || '.v1',
       split_part(type, '.', 1), 'user' || i % 500000, (ARRAY['contoso', 'fabrikam', 'adatum', 'litware'])[1 + i % 4], 'TICKET-' || i, 'User ' || i,
       md5(i::text) || md5(i::text), state, 1 + i % 3,
       CASE WHEN state IN ('failed', 'waiting', 'unknown') THEN (ARRAY['refused', 'throttled', 'unavailable', 'not-found'])[1 + i / 7 % 4] ELSE '' END,
       CASE WHEN state IN ('failed', 'waiting', 'unknown') THEN (ARRAY['adaxes', 'exchangeonline', 'hostedexchange', 'enpower'])[1 + i % 4] ELSE '' END,
       CASE WHEN state IN ('failed', 'waiting', 'unknown') THEN 'HTTP ' || 400 + i / 11 % 5 ELSE '' END,
       CASE WHEN state IN ('failed', 'waiting', 'unknown') THEN 'The vendor refused: the object may not be changed by this account.' ELSE '' END,
       CASE state WHEN 'succeeded' THEN 'io.mailwright.' || type || 'd.v1' ELSE '' END,
       CASE state WHEN 'succeeded' THEN jsonb_build_object('mailbox', 'user' || i % 500000 || '@contoso.com', 'changed', true, 'added', '["delegate3@contoso.com"]'::jsonb) END,
       received, received + took * 0.1, received + took,
       CASE WHEN state IN ('succeeded', 'failed', 'rejected') THEN received + took END,
       CASE WHEN state = 'waiting' THEN now() + took END,
       CASE WHEN state = 'waiting' THEN (ARRAY['failure', 'failure', 'line', 'turn', 'scheduled'])[1 + i / 3 % 5] ELSE '' END,
       i * 4
  FROM (SELECT i, (ARRAY['mailbox.create', 'directory.object.create', 'directory.businessuser.create', 'delegation.set', 'delegation.change',
                         'delegation.read', 'delegation.folder.grant', 'inventory.sync'])[1 + (random() * 7.99)::int % 8] AS type,
               now() - interval '90 days' * (1 - i::double precision / :operations) AS received,
               interval '1 second' * exp(random() * 3 + random() * 3 - 2) AS took,
               CASE WHEN i > :operations * 0.98 AND i % 2 = 0 THEN (ARRAY['waiting', 'waiting', 'received', 'unknown', 'started'])[1 + i / 2 % 5]
                    WHEN i % 25 = 1 THEN 'failed' WHEN i % 100 = 2 THEN 'rejected' ELSE 'succeeded' END AS state
          FROM generate_series(1, :operations) i) o;

-- The months that projection-svc would have made.
DO $$ DECLARE m timestamptz; BEGIN FOR m IN SELECT generate_series(date_trunc('month', now() - interval '90 days', 'UTC'), now(), '1 month') LOOP EXECUTE format('CREATE TABLE IF NOT EXISTS mailwright.operation_events_%s PARTITION OF mailwright.operation_events FOR VALUES FROM (%L) TO (%L)', to_char(m AT TIME ZONE 'UTC', 'YYYY_MM'), m, m + interval '1 month'); END LOOP; END $$;

INSERT INTO mailwright.operation_events (stored_at, sequence, operation_id, domain, type, state, attempt, event_id, source, occurred_at, data)
SELECT o.received_at + (o.updated_at - o.received_at) * k / 4, o.last_sequence + k, o.operation_id, o.domain, 'io.mailwright.' || o.domain || '.started.v1',
       CASE k WHEN 3 THEN o.state ELSE 'started' END, 1, o.operation_id || '-' || k, 'https://mailwright.io/' || o.domain || '-svc', o.received_at,
       '{"leaseExpiresAt": "2026-11-21T09:00:00Z", "since": "2026-11-21T09:00:00Z"}'
  FROM mailwright.operations o CROSS JOIN LATERAL generate_series(0, CASE WHEN o.last_sequence / 4 % 3 = 0 THEN 3 ELSE 2 END) k;

INSERT INTO mailwright.operation_outcomes (hour, tenant, domain, command_type, state, failure_vendor, failure_kind, failure_code, operations, oldest_received_at, first_at, last_at, last_sequence)
SELECT date_trunc('hour', finished_at, 'UTC'), tenant, domain, command_type, state, failure_vendor, CASE state WHEN 'rejected' THEN 'invalid' ELSE failure_kind END,
       failure_code, count(*), min(received_at), min(finished_at), max(finished_at), max(last_sequence)
  FROM mailwright.operations WHERE finished_at IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY 1;

INSERT INTO mailwright.operation_durations (hour, tenant, domain, command_type, state, duration_ms, operations, last_sequence)
SELECT date_trunc('hour', finished_at, 'UTC'), tenant, domain, command_type, state, round(ms / step) * step, count(*), max(last_sequence)
  FROM mailwright.operations
 CROSS JOIN LATERAL (SELECT greatest(1, extract(epoch FROM finished_at - received_at)::double precision * 1000) AS ms) m
 CROSS JOIN LATERAL (SELECT greatest(1, 2 ^ (floor(ln(ms) / ln(2)) - 2)) AS step) s
 WHERE finished_at IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1;

INSERT INTO mailwright.mailbox_inventory (tenant, mailbox_key, mailbox_id, user_id, principal_name, name, email_address, display_name, recipient_type, status,
    create_time, modified_time, tenant_domain, container, item_count, storage_used, issue_warning_quota, prohibit_send_quota, prohibit_send_receive_quota,
    first_name, last_name, alias, litigation_hold_enabled, email_forwarding_enabled, external_email_forwarding_enabled, archive_status, last_activity_date,
    external_forwarding_address_domain, recipient_limits, mailbox_policies, metadata, sync_id, change, changed_at, first_observed_at, observed_at, missing_since, last_sequence)
SELECT (ARRAY['contoso', 'fabrikam', 'adatum', 'litware'])[1 + i % 4], md5(i::text), md5(i::text)::uuid::text, md5('u' || i)::uuid::text, 'user' || i || '@contoso.com', 'user' || i,
       CASE i WHEN 1 THEN 'alex@contoso.com' ELSE 'user' || i || '@contoso.com' END, 'User Number ' || i, 'User mailbox', 'Normal',
       now() - interval '3 years' * random(), now() - interval '1 year' * random(), 'contoso.com', 'Default container', i % 90000,
       CASE WHEN i % 20 = 0 THEN 45000 + i % 5000 ELSE i % 40000 END, 49000, 50000, 51000, 'User', 'Number ' || i, 'user' || i, i % 30 = 0, i % 40 = 0, i % 50 = 0, 'None',
       CASE WHEN i % 8 = 0 THEN now() - interval '2 years' * random() WHEN i % 97 <> 0 THEN now() - interval '29 days' * random() END,
       CASE WHEN i % 50 = 0 THEN 'partner' || i / 50 % 200 || '.example.com' END, '500',
       '{"retentionPolicy": "Default MRM Policy", "sharingPolicy": "Default Sharing Policy", "roleAssignmentPolicy": "Default Role Assignment Policy"}',
       '[{"id": "7f1c", "name": "Department", "value": "Sales", "metadataType": 1}]', 'sync', CASE WHEN i % 100 = 0 THEN 'missing' ELSE 'changed' END,
       now() - interval '60 days' * random(), now() - interval '1 year', now() - interval '60 days' * random(), CASE WHEN i % 100 = 99 THEN now() END, i
  FROM generate_series(1, :mailboxes) i;

INSERT INTO mailwright.delegation_mailboxes (tenant, mailbox_key, names, identity, upn, primary_smtp_address, display_name, source, operation_id, known_at, last_sequence)
SELECT (ARRAY['contoso', 'fabrikam', 'adatum', 'litware'])[1 + i % 4], 'user' || i, ARRAY['user' || i, 'user' || i || '@contoso.com'], CASE i WHEN 1 THEN 'alex' ELSE 'user' || i END,
       'user' || i || '@contoso.com', CASE i WHEN 1 THEN 'alex@contoso.com' ELSE 'user' || i || '@contoso.com' END, 'User Number ' || i, 'observed', 'op', now(), i
  FROM generate_series(1, :mailboxes / 3) i;

-- A few delegates have many mailboxes, as a help desk does.
INSERT INTO mailwright.delegations (tenant, mailbox_key, delegate_key, mailbox, delegate, source, operation_id, known_at, last_sequence)
SELECT m.tenant, m.mailbox_key, d, m.identity, d, 'observed', 'op', now(), m.last_sequence
  FROM mailwright.delegation_mailboxes m
 CROSS JOIN LATERAL (SELECT DISTINCT 'delegate' || 1 + floor(20000 * random() ^ 1.5 + 0 * m.last_sequence * k) || '@contoso.com' AS d FROM generate_series(1, 2) k) x;

INSERT INTO mailwright.folder_permissions (tenant, mailbox_key, folder_key, delegate_key, mailbox, folder, delegate, access_rights, operation_id, known_at, last_sequence)
SELECT (ARRAY['contoso', 'fabrikam', 'adatum', 'litware'])[1 + i % 4], 'user' || i, 'calendar', 'delegate' || i % 20000 || '@contoso.com', 'user' || i, 'Calendar',
       'delegate' || i % 20000 || '@contoso.com', '["Editor"]', 'op', now(), i
  FROM generate_series(1, :mailboxes / 5) i;

INSERT INTO mailwright.directory_objects (tenant, object_key, name, guid, object_type, upn, operation_id, created_at, last_sequence)
SELECT 'contoso', 'cn=user' || i, 'CN=user' || i, md5(i::text), 'user', CASE i WHEN 1 THEN 'jsmith@example.com' ELSE 'user' || i || '@example.com' END, 'op', now(), i
  FROM generate_series(1, :mailboxes / 2) i;

INSERT INTO mailwright.mailboxes (tenant, object_key, directory_object, primary_smtp_address, operation_id, created_at, last_sequence)
SELECT 'contoso', 'cn=user' || i, 'CN=user' || i, CASE i WHEN 1 THEN 'jsmith@example.com' ELSE 'user' || i || '@example.com' END, 'op', now(), i
  FROM generate_series(1, :mailboxes / 2) i;

INSERT INTO mailwright.inventory_syncs (operation_id, tenant, mailbox_type, seen, new, changed, missing, started_at, completed_at, last_sequence)
SELECT 'sync' || i, (ARRAY['contoso', 'fabrikam', 'adatum', 'litware'])[1 + i % 4], 'all', 250000, i % 100, i % 1000, i % 10, now() - i * interval '1 hour', now() - i * interval '1 hour', i
  FROM generate_series(1, 10000) i;

INSERT INTO mailwright.dead_letters (sequence, domain, operation_id, reason, detail, dead_at)
SELECT i, 'mailbox', 'op' || i, (ARRAY['unreadable', 'max-deliveries', 'idempotency-conflict'])[1 + i % 3], 'not a CloudEvent', now() - i * interval '1 minute'
  FROM generate_series(1, 50000) i;

INSERT INTO mailwright.delegation_drift (tenant, mailbox_key, delegate_key, mailbox, delegate, kind, since, set_operation_id, set_at, observed_operation_id, observed_at, last_sequence)
SELECT tenant, mailbox_key, 'gone@contoso.com', identity, 'gone@contoso.com', 'missing', now(), 'op', now(), 'op', now(), last_sequence
  FROM mailwright.delegation_mailboxes WHERE last_sequence % 100 = 0;

INSERT INTO mailwright.checkpoints (projection, stream, incarnation, sequence) VALUES ('operations', 'EVENTS', now(), 1);
