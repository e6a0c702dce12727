#!/usr/bin/perl
# Teaches the real SpamAssassin and asks it. Commands are lines of standard input, answers one JSON object a line.
#   learned.pl FOLDER        FOLDER holds its database of learned mail
#   spam FILE | ham FILE     learns a mail; the answer says whether it was new
#   chance FILE              what its Bayes plug-in alone says of a mail: all else is left out, because it is slow
#   whole FILE               the whole check, with the score set that SpamAssassin takes for itself
# Local tests only. The database never drops words of its own accord (bayes_auto_expire 0), which is to its advantage.
use strict;
use warnings;
use JSON::PP;
use Mail::SpamAssassin;

my $folder = shift // die "learned.pl FOLDER\n";
my $judge  = Mail::SpamAssassin->new({
    rules_filename      => $ENV{SA_RULES}      // '/usr/share/spamassassin',
    site_rules_filename => $ENV{SA_SITE_RULES} // '/etc/spamassassin',
    userprefs_filename  => '/dev/null',
    userstate_dir       => $folder,
    local_tests_only    => 1,
    dont_copy_prefs     => 1,
    post_config_text    => "use_bayes 1\nbayes_path $folder/bayes\nbayes_auto_learn 0\nbayes_auto_expire 0\nskip_rbl_checks 1\n",
});
$judge->init(1);
my $json     = JSON::PP->new->latin1->canonical;
my $learning = 0;
$| = 1;

sub parsed {
    my ($name) = @_;
    open my $file, '<:raw', $name or die "$name: $!\n";
    my $octets = do { local $/; <$file> };
    return $judge->parse($octets, 1);
}

sub learn {
    my ($mail, $is_spam) = @_;
    $judge->init_learner({ learn_to_journal => 0, wait_for_lock => 1, caller_will_untie => 1 }) unless $learning++;
    my $learner = $judge->learn($mail, undef, $is_spam, 0);
    my $new     = $learner->did_learn ? 1 : 0;
    $learner->finish;
    return { learned => $new };
}

# As it is after the last mail was learned: the file closed, and opened anew by each question.
sub taught {
    return unless $learning;
    $judge->rebuild_learner_caches({ showdots => 0 });
    $judge->finish_learner;
    $judge->init_learner({ learn_to_journal => 0, wait_for_lock => 1, caller_will_untie => 0 });
    $judge->finish_learner;
    $learning = 0;
}

sub chance {
    my ($mail) = @_;
    my $status = Mail::SpamAssassin::PerMsgStatus->new($judge, $mail);
    $mail->extract_message_metadata($status);
    my $chance = $judge->call_plugins('learner_get_implementation')->scan($status, $mail);
    $status->finish;
    return { chance => $chance };
}

sub whole {
    my ($mail) = @_;
    my $status = $judge->check($mail);
    my %points = map { $_ => 0 + ($judge->{conf}{scores}{$_} // 0) } split /,/, $status->get_names_of_tests_hit;
    my %answer = (
        chance => $status->{bayes_score},
        set    => $judge->{conf}->get_score_set,
        score  => 0 + $status->get_score,
        points => \%points,
    );
    $status->finish;
    return \%answer;
}

while (my $line = <STDIN>) {
    chomp $line;
    my ($what, $name) = split / /, $line, 2;
    my $mail = parsed($name);
    taught() if $what eq 'chance' || $what eq 'whole';
    my $answer = $what eq 'chance' ? chance($mail) : $what eq 'whole' ? whole($mail) : learn($mail, $what eq 'spam');
    $mail->finish;
    print $json->encode({ file => $name, what => $what, %$answer }), "\n";
}
