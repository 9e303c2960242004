// The restaurants and guests that the demo shows.
import { randomUUID } from 'node:crypto';

const outlets = [
  ['Riga Centrs', 'Brīvības iela 12, Rīga', 'Europe/Riga'],
  ['Jelgava', 'Lielā iela 3, Jelgava', 'Europe/Riga'],
  ['Liepāja', 'Graudu iela 27, Liepāja', 'Europe/Riga'],
  ['Daugavpils', 'Rīgas iela 9, Daugavpils', 'Europe/Riga'],
  ['Tallinn Vanalinn', 'Viru 18, Tallinn', 'Europe/Tallinn'],
  ['Tartu', 'Rüütli 2, Tartu', 'Europe/Tallinn'],
  ['Vilnius Gediminas', 'Gedimino pr. 20, Vilnius', 'Europe/Vilnius'],
  ['Kaunas', 'Laisvės al. 61, Kaunas', 'Europe/Vilnius'],
  ['Helsinki Kamppi', 'Urho Kekkosen katu 1, Helsinki', 'Europe/Helsinki'],
  ['Warszawa Nowy Świat', 'Nowy Świat 35, Warszawa', 'Europe/Warsaw'],
  ['Kraków Rynek', 'Rynek Główny 8, Kraków', 'Europe/Warsaw'],
  ['Berlin Mitte', 'Rosenthaler Str. 40, Berlin', 'Europe/Berlin'],
];
const chains = ['Bistro Amber', 'Pizza Lielupe'];

/** `count` import lines; past the named outlets they are numbered. */
export function demoStores(count) {
  return Array.from({ length: count }, (_, index) => {
    const [name, address, zone] = outlets[index % outlets.length];
    const round = Math.floor(index / outlets.length);
    return {
      chain: chains[index % 12 < 8 ? 0 : 1],
      outlet: round === 0 ? name : `${name} ${round + 1}`,
      crm_id: String(10432 + index).padStart(6, '0'),
      address,
      time_zone: zone,
      pos_server: 'Main POS',
    };
  });
}

/** Programs, guests and accounts for one chain. */
export function demoLoyalty(guestCount = 200) {
  const programs = [
    { id: randomUUID(), name: 'Welcome bonus', bonus_basis_points: 500, active: true },
    { id: randomUUID(), name: 'Lunch card', bonus_basis_points: 1000, active: true },
    { id: randomUUID(), name: 'Summer terrace', bonus_basis_points: 700, active: false },
  ];
  const names = [
    'Anna Bērziņa',
    'Jānis Ozols',
    'Mari Tamm',
    'Jonas Kazlauskas',
    'Aino Virtanen',
    'Piotr Nowak',
  ];
  const guests = Array.from({ length: guestCount }, (_, index) => ({
    id: randomUUID(),
    name: `${names[index % names.length]} ${index + 1}`,
    phone: `+3712000${String(index).padStart(4, '0')}`,
    card: index % 3 === 0 ? `77${String(index).padStart(6, '0')}` : null,
  }));
  const accounts = guests.map((guest, index) => ({
    id: randomUUID(),
    guest_id: guest.id,
    program_id: programs[index % programs.length].id,
    balance: ((index * 137) % 20_000) / 100,
  }));
  return { programs, guests, 'guest-accounts': accounts };
}
