-- +goose Up

CREATE VIEW mailwright_views.directory_objects AS
SELECT tenant,
       name,
       guid,
       object_type,
       upn,
       display_name,
       member_of,
       operation_id,
       correlation_id,
       created_at
  FROM mailwright.directory_objects;

COMMENT ON VIEW mailwright_views.directory_objects IS 'Directory objects that operations made.';
COMMENT ON COLUMN mailwright_views.directory_objects.tenant IS 'Configured tenant.';
COMMENT ON COLUMN mailwright_views.directory_objects.name IS 'Distinguished name (Adaxes) or LDAP path (Hosted Exchange) as the vendor stored it.';
COMMENT ON COLUMN mailwright_views.directory_objects.guid IS 'GUID; '''' where it could not be read back.';
COMMENT ON COLUMN mailwright_views.directory_objects.object_type IS 'Object class: user, group, computer and so on.';
COMMENT ON COLUMN mailwright_views.directory_objects.upn IS 'User principal name; '''' where the result does not say.';
COMMENT ON COLUMN mailwright_views.directory_objects.display_name IS 'Display name; '''' where the result does not say.';
COMMENT ON COLUMN mailwright_views.directory_objects.member_of IS 'LDAP paths of groups (Hosted Exchange).';
COMMENT ON COLUMN mailwright_views.directory_objects.operation_id IS 'Operation that made it.';
COMMENT ON COLUMN mailwright_views.directory_objects.correlation_id IS 'Carried through unchanged from the command, such as a ticket; '''' where absent.';
COMMENT ON COLUMN mailwright_views.directory_objects.created_at IS 'When the result was stored.';

CREATE VIEW mailwright_views.mailboxes AS
SELECT tenant,
       directory_object,
       alias,
       primary_smtp_address,
       proxy_addresses,
       database_name,
       plan_name,
       quota_kb,
       disable_pop,
       disable_imap,
       disable_http,
       operation_id,
       correlation_id,
       created_at
  FROM mailwright.mailboxes;

COMMENT ON VIEW mailwright_views.mailboxes IS 'Mailboxes that operations made.';
COMMENT ON COLUMN mailwright_views.mailboxes.tenant IS 'Configured tenant.';
COMMENT ON COLUMN mailwright_views.mailboxes.directory_object IS 'Directory object that has the mailbox: DN or LDAP path.';
COMMENT ON COLUMN mailwright_views.mailboxes.alias IS 'Alias that was stored.';
COMMENT ON COLUMN mailwright_views.mailboxes.primary_smtp_address IS 'Primary address.';
COMMENT ON COLUMN mailwright_views.mailboxes.proxy_addresses IS 'Further addresses (Hosted Exchange).';
COMMENT ON COLUMN mailwright_views.mailboxes.database_name IS 'Name of the database (Adaxes).';
COMMENT ON COLUMN mailwright_views.mailboxes.plan_name IS 'Plan (Hosted Exchange).';
COMMENT ON COLUMN mailwright_views.mailboxes.quota_kb IS 'Size that the plan grants, in KB as far as the vendor lets one infer.';
COMMENT ON COLUMN mailwright_views.mailboxes.disable_pop IS 'POP is switched off.';
COMMENT ON COLUMN mailwright_views.mailboxes.disable_imap IS 'IMAP is switched off.';
COMMENT ON COLUMN mailwright_views.mailboxes.disable_http IS 'HTTP is switched off.';
COMMENT ON COLUMN mailwright_views.mailboxes.operation_id IS 'Operation that made it.';
COMMENT ON COLUMN mailwright_views.mailboxes.correlation_id IS 'Carried through unchanged from the command, such as a ticket; '''' where absent.';
COMMENT ON COLUMN mailwright_views.mailboxes.created_at IS 'When the result was stored.';

CREATE VIEW mailwright_views.delegated_mailboxes AS
SELECT m.tenant,
       m.identity,
       m.object_id,
       m.upn,
       m.primary_smtp_address,
       m.display_name,
       m.recipient_type_details,
       m.selected,
       m.source,
       m.operation_id,
       m.known_at,
       (SELECT count(*) FROM mailwright.delegations d
         WHERE d.tenant = m.tenant AND d.mailbox_key = m.mailbox_key) AS delegates
  FROM mailwright.delegation_mailboxes m;

COMMENT ON VIEW mailwright_views.delegated_mailboxes IS 'Mailboxes whose delegates are known, also those that have none.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.tenant IS 'Configured tenant.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.identity IS 'Identity of the mailbox: the vendor''s where observed, else as the command named it.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.object_id IS 'Object id in Microsoft Entra ID.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.upn IS 'User principal name.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.primary_smtp_address IS 'Primary address.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.display_name IS 'Display name.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.recipient_type_details IS 'Kind of mailbox, such as UserMailbox.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.selected IS 'Further properties that a delegation.read selected.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.source IS 'observed: read from the vendor; set: as a command left it.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.operation_id IS 'Operation that says so.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.known_at IS 'When that was stored.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.delegates IS 'How many delegates it has.';

CREATE VIEW mailwright_views.delegates AS
SELECT d.tenant,
       d.mailbox,
       m.display_name         AS mailbox_display_name,
       m.primary_smtp_address AS mailbox_address,
       d.delegate,
       d.display_name         AS delegate_display_name,
       d.source,
       d.operation_id,
       d.known_at
  FROM mailwright.delegations d
  JOIN mailwright.delegation_mailboxes m USING (tenant, mailbox_key);

COMMENT ON VIEW mailwright_views.delegates IS 'One row a mailbox and delegate: who may send on behalf of whom.';
COMMENT ON COLUMN mailwright_views.delegates.tenant IS 'Configured tenant.';
COMMENT ON COLUMN mailwright_views.delegates.mailbox IS 'Identity of the mailbox.';
COMMENT ON COLUMN mailwright_views.delegates.mailbox_display_name IS 'Display name of the mailbox.';
COMMENT ON COLUMN mailwright_views.delegates.mailbox_address IS 'Primary address of the mailbox.';
COMMENT ON COLUMN mailwright_views.delegates.delegate IS 'The delegate as the vendor or the command names it: usually an address.';
COMMENT ON COLUMN mailwright_views.delegates.delegate_display_name IS 'Display name of the delegate.';
COMMENT ON COLUMN mailwright_views.delegates.source IS 'observed: read from the vendor; set: as a command left it.';
COMMENT ON COLUMN mailwright_views.delegates.operation_id IS 'Operation that says so.';
COMMENT ON COLUMN mailwright_views.delegates.known_at IS 'When that was stored.';

-- +goose Down
DROP VIEW mailwright_views.delegates;
DROP VIEW mailwright_views.delegated_mailboxes;
DROP VIEW mailwright_views.mailboxes;
DROP VIEW mailwright_views.directory_objects;
