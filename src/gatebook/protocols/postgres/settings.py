"""Which settings a session may change for itself, and which change what Gatebook or the target's owner relies on.

A name without a dot that is not on the list of harmless ones counts as an admin's: the list is what PostgreSQL 14 to 18 let
any user set, without those below. Names with a dot belong to applications (row security often reads them; the fact
``setting`` carries the name so that a rule can ask) save the prefixes of extensions that audit or trust.
"""

from __future__ import annotations

# Any user may set these too, and they are not harmless: they change whose rights count, which rows policies hide, how the
# text of the next statement is read, or what is loaded: role session_authorization row_security backslash_quote
# local_preload_libraries createrole_self_grant client_encoding standard_conforming_strings. Three have values that are.
_HARMLESS = frozenset(
    """
datestyle intervalstyle timezone application_name backend_flush_after bytea_output check_function_bodies
client_connection_check_interval client_min_messages commit_siblings constraint_exclusion cpu_index_tuple_cost
cpu_operator_cost cpu_tuple_cost cursor_tuple_fraction debug_logical_replication_streaming debug_parallel_query
debug_pretty_print debug_print_parse debug_print_plan debug_print_rewritten default_statistics_target
default_table_access_method default_tablespace default_toast_compression
default_transaction_deferrable default_transaction_isolation default_transaction_read_only effective_cache_size
effective_io_concurrency enable_async_append enable_bitmapscan enable_distinct_reordering enable_gathermerge
enable_group_by_reordering enable_hashagg enable_hashjoin enable_incremental_sort enable_indexonlyscan enable_indexscan
enable_material enable_memoize enable_mergejoin enable_nestloop enable_parallel_append enable_parallel_hash
enable_partition_pruning enable_partitionwise_aggregate enable_partitionwise_join enable_presorted_aggregate
enable_self_join_elimination enable_seqscan enable_sort enable_tidscan escape_string_warning exit_on_error
extra_float_digits file_copy_method force_parallel_mode from_collapse_limit geqo geqo_effort geqo_generations geqo_pool_size
geqo_seed geqo_selection_bias geqo_threshold gin_fuzzy_search_limit gin_pending_list_limit hash_mem_multiplier
icu_validation_level idle_in_transaction_session_timeout idle_session_timeout io_combine_limit jit jit_above_cost
jit_expressions jit_inline_above_cost jit_optimize_above_cost jit_tuple_deforming join_collapse_limit
lc_time lock_timeout log_parameter_max_length_on_error logical_decoding_work_mem maintenance_io_concurrency
maintenance_work_mem max_parallel_maintenance_workers max_parallel_workers max_parallel_workers_per_gather
md5_password_warnings min_parallel_index_scan_size min_parallel_table_scan_size parallel_leader_participation
parallel_setup_cost parallel_tuple_cost password_encryption plan_cache_mode quote_all_identifiers random_page_cost
recursive_worktable_factor restrict_nonsystem_relation_kind scram_iterations search_path seed seq_page_cost
statement_timeout stats_fetch_consistency synchronize_seqscans synchronous_commit tcp_keepalives_count tcp_keepalives_idle
tcp_keepalives_interval tcp_user_timeout temp_buffers temp_tablespaces trace_notify trace_sort
transaction_deferrable transaction_isolation transaction_read_only transaction_timeout
vacuum_buffer_usage_limit vacuum_cost_delay vacuum_cost_limit vacuum_cost_page_dirty vacuum_cost_page_hit
vacuum_cost_page_miss vacuum_failsafe_age vacuum_freeze_min_age vacuum_freeze_table_age vacuum_max_eager_freeze_failure_rate
vacuum_multixact_failsafe_age vacuum_multixact_freeze_min_age vacuum_multixact_freeze_table_age vacuum_truncate
wal_sender_timeout wal_skip_threshold work_mem xmlbinary xmloption
""".split()
)

_PINNED = ("client_encoding", "standard_conforming_strings")  # by the gateway's own startup packet

# Harmless with these values only.
_VALUES: dict[str, frozenset[str]] = {
    "client_encoding": frozenset({"utf8", "utf-8", "unicode"}),
    "standard_conforming_strings": frozenset({"on", "true", "yes", "1"}),
    "row_security": frozenset({"on", "true", "yes", "1"}),
}

# Settings whose default is what the target gave the session, or what it was opened with: putting them back is harmless.
_RESETTABLE = frozenset({"role", "session_authorization", "session_replication_role", "row_security", *_PINNED})

# Extensions that audit, mask, schedule, or run code in the server.
_ADMIN_PREFIXES = (
    "anon.",
    "auto_explain.",
    "citus.",
    "cron.",
    "pg_hint_plan.",
    "pg_stat_statements.",
    "pgaudit.",
    "pgsodium.",
    "plperl.",
    "plpgsql.",
    "plpython.",
    "pltcl.",
    "rds.",
    "session_variable.",
    "set_user.",
    "supautils.",
)


def harmless(name: str, value: str | None) -> bool:
    """Whether a session may give ``name`` this value; ``value`` is None when the text does not say it plainly."""
    folded = name.lower()
    if folded in _HARMLESS:
        return True
    if folded in _VALUES:
        return value is not None and value.lower() in _VALUES[folded]
    return "." in folded and not folded.startswith(_ADMIN_PREFIXES)


def resettable(name: str) -> bool:
    """Whether a session may put ``name`` back to what it was at login."""
    folded = name.lower()
    return folded in _RESETTABLE or harmless(name, None)
