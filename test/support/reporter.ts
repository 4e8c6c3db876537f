import {writeFileSync} from 'node:fs';
import Mocha from 'mocha';

/**
 * Mocha's `spec` output with one plain line of counts at its end. The line also goes to the file named
 * in `OWLORE_TEST_SUMMARY`, for a script that does more after the tests and closes with their counts. A run in which no test passed is
 * an error; mocha's `fail-zero` would be one for each file without a test of the chosen backends, where files run in parallel.
 */
class CountingReporter extends Mocha.reporters.Spec {
  override epilogue(): void {
    super.epilogue();
    const {passes, failures, pending} = this.stats;
    const line = `${passes} passed, ${failures} failed, ${pending} skipped\n`;
    process.stdout.write(line);
    if (process.env.OWLORE_TEST_SUMMARY) writeFileSync(process.env.OWLORE_TEST_SUMMARY, line);
    if (passes === 0) throw new Error('No test has passed.');
  }
}

// Mocha takes all that the file exports for the class.
export {CountingReporter as 'module.exports'};
