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
       created_at,
       sid,
       sam_account_name
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
COMMENT ON COLUMN mailwright_views.directory_objects.sid IS 'Security identifier (Hosted Exchange); '''' where it could not be read back.';
COMMENT ON COLUMN mailwright_views.directory_objects.sam_account_name IS 'Account name that the vendor chose (Hosted Exchange); '''' where it could not be read back.';

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
       created_at,
       server_name
  FROM mailwright.mailboxes;

COMMENT ON VIEW mailwright_views.mailboxes IS 'Mailboxes that operations made.';
COMMENT ON COLUMN mailwright_views.mailboxes.tenant IS 'Configured tenant.';
COMMENT ON COLUMN mailwright_views.mailboxes.directory_object IS 'Directory object that has the mailbox: DN or LDAP path.';
COMMENT ON COLUMN mailwright_views.mailboxes.alias IS 'Alias that was stored.';
COMMENT ON COLUMN mailwright_views.mailboxes.primary_smtp_address IS 'Primary address.';
COMMENT ON COLUMN mailwright_views.mailboxes.proxy_addresses IS 'Further addresses (Hosted Exchange).';
COMMENT ON COLUMN mailwright_views.mailboxes.database_name IS 'Name of the database (Adaxes) or mail store (Hosted Exchange); '''' where it could not be read back.';
COMMENT ON COLUMN mailwright_views.mailboxes.plan_name IS 'Plan (Hosted Exchange).';
COMMENT ON COLUMN mailwright_views.mailboxes.quota_kb IS 'Size that the plan grants, in KB as far as the vendor lets one infer.';
COMMENT ON COLUMN mailwright_views.mailboxes.disable_pop IS 'POP is switched off.';
COMMENT ON COLUMN mailwright_views.mailboxes.disable_imap IS 'IMAP is switched off.';
COMMENT ON COLUMN mailwright_views.mailboxes.disable_http IS 'HTTP is switched off.';
COMMENT ON COLUMN mailwright_views.mailboxes.operation_id IS 'Operation that made it.';
COMMENT ON COLUMN mailwright_views.mailboxes.correlation_id IS 'Carried through unchanged from the command, such as a ticket; '''' where absent.';
COMMENT ON COLUMN mailwright_views.mailboxes.created_at IS 'When the result was stored.';
COMMENT ON COLUMN mailwright_views.mailboxes.server_name IS 'Server of the mail store (Hosted Exchange); '''' where it could not be read back.';

-- +goose Down
DROP VIEW mailwright_views.mailboxes;
DROP VIEW mailwright_views.directory_objects;
