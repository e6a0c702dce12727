#!/usr/bin/perl
# What the real SpamAssassin says of mails, one JSON object a line: truth.pl FILE...
# Local tests only, no learned mail: score set 0. Sub-rules are listed with the number of their hits.
use strict;
use warnings;
use JSON::PP;
use Mail::SpamAssassin;

my $judge = Mail::SpamAssassin->new({
    rules_filename      => $ENV{SA_RULES}      // '/usr/share/spamassassin',
    site_rules_filename => $ENV{SA_SITE_RULES} // '/etc/spamassassin',
    userprefs_filename  => '/dev/null',
    userstate_dir       => $ENV{SA_STATE} // '/tmp/tamis-parity',
    local_tests_only    => 1,
    dont_copy_prefs     => 1,
    post_config_text    => "use_bayes 0\nbayes_auto_learn 0\nskip_rbl_checks 1\n",
});
$judge->init(1);
my $json = JSON::PP->new->latin1->canonical;
$| = 1;
for my $name (@ARGV) {
    open my $file, '<:raw', $name or do { warn "$name: $!\n"; next };
    my $octets = do { local $/; <$file> };
    close $file;
    my ($user, $system) = times;
    my $mail   = $judge->parse($octets, 1);
    my $status = $judge->check($mail);
    my ($user_after, $system_after) = times;
    my %hits;
    $hits{$_}++ for split /,/, $status->get_names_of_tests_hit;
    for my $word (split /,/, $status->get_names_of_subtests_hit) {
        my ($rule, $count) = $word =~ /^(.*?)(?:\((\d+)\))?$/;
        $hits{$rule} += $count // 1;
    }
    print $json->encode({
        file   => $name,
        score  => 0 + $status->get_score,
        hits   => \%hits,
        cpu_ms => 1000 * ($user_after + $system_after - $user - $system),
    }), "\n";
    $status->finish;
    $mail->finish;
}
