import { look } from './looks';

look('en');
