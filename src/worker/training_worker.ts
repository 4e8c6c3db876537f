/** The worker that a page starts. */
import {serve} from './serve';

serve(self);
